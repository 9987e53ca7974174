/**
 * @file In which order an epoch visits rows: a pure function of seed and epoch, so that resuming needs no state.
 * Must not know what rows hold beyond their length.
 */
import { RandomStream } from '../support/random.ts'

/** Steps sorted together: enough to save padding, few enough to leave steps mixed. */
const WINDOW_STEPS = 16

/** Each row once: a fresh permutation an epoch. */
export function shuffled(count: number, seed: number, epoch: number): Uint32Array {
  return new RandomStream(seed, `data/order/${epoch}`).permutation(count)
}

/**
 * A shuffled epoch in which rows of like length share a step: windows of the permutation are sorted by length and cut
 * into steps, and the steps are shuffled. A last, smaller step stays last and is not sorted into a window, so that it is
 * not always the shortest or longest rows.
 * @param stepRows rows of one optimizer step; within it rows go from short to long
 */
export function bucketed(
  lengthOf: (row: number) => number,
  count: number,
  stepRows: number,
  seed: number,
  epoch: number,
): Uint32Array {
  const order = shuffled(count, seed, epoch)
  const whole = count - (count % stepRows)
  for (let start = 0; start < whole; start += stepRows * WINDOW_STEPS)
    sortByLength(order.subarray(start, Math.min(whole, start + stepRows * WINDOW_STEPS)), lengthOf)
  sortByLength(order.subarray(whole), lengthOf)
  const steps = new RandomStream(seed, `data/steps/${epoch}`).permutation(whole / stepRows)
  const result = new Uint32Array(count)
  steps.forEach((step, i) => {
    result.set(order.subarray(step * stepRows, (step + 1) * stepRows), i * stepRows)
  })
  result.set(order.subarray(whole), whole)
  return result
}

/** All rows from short to long: for evaluation, where order changes nothing but the padding. */
export function byLength(lengthOf: (row: number) => number, count: number): Uint32Array {
  const order = fileOrder(count)
  sortByLength(order, lengthOf)
  return order
}

export function fileOrder(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, row) => row)
}

/** Stable: typed arrays' sort is, and equal lengths keep their (shuffled) order. */
function sortByLength(order: Uint32Array, lengthOf: (row: number) => number): void {
  order.sort((a, b) => lengthOf(a) - lengthOf(b))
}
