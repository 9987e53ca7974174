/**
 * @file How much of the tokens that a run computes is padding, from lengths alone. Must not know tokens.
 */

/** Rows of an epoch in their order, cut into steps, and those into micro-batches, as `Batches` does. */
export interface PaddingPlan {
  readonly order: ArrayLike<number>
  readonly lengthOf: (row: number) => number
  /** Rows of a micro-batch. */
  readonly batchSize: number
  /** Rows of an optimizer step. */
  readonly stepRows: number
}

/** Padding over all tokens computed, 0…1: each micro-batch is as long as its longest row. */
export function paddingShare({ order, lengthOf, batchSize, stepRows }: PaddingPlan): number {
  let [real, computed] = [0, 0]
  for (let step = 0; step < order.length; step += stepRows) {
    const stepEnd = Math.min(order.length, step + stepRows)
    for (let start = step; start < stepEnd; start += batchSize) {
      const end = Math.min(stepEnd, start + batchSize)
      let longest = 0
      for (let i = start; i < end; i++) {
        const length = lengthOf(order[i] ?? 0)
        longest = Math.max(longest, length)
        real += length
      }
      computed += longest * (end - start)
    }
  }
  return computed === 0 ? 0 : 1 - real / computed
}
