/**
 * @file One training example: ids, labels, and where in the data it stood. Must not know how it was made.
 */

/** Label of a position without loss, as in transformers. */
export const NO_LABEL = -100

/**
 * Which token's state predicts a label: of language models the one before (`next`), of encoders its own. The label of a
 * whole text stands at its first token.
 */
export type LabelsAt = 'next' | 'own'

export interface Example {
  /** Token ids. */
  readonly ids: Int32Array
  /** A label a token, `NO_LABEL` for none; where they are the next token's, the one at 0 never counts. */
  readonly labels: Int32Array
  /** Which text of a pair each token belongs to; absent where all belong to the first. */
  readonly types?: Uint8Array | undefined
  /** The number a regression row asks for. */
  readonly target?: number | undefined
  /** Row number in the data, from 0 over all files, refused and skipped rows included; the key of dropout masks. */
  readonly place: number
  /** `file:line` */
  readonly source: string
}

/** Labels that count. */
export function countLabels(labels: ArrayLike<number>, at: LabelsAt = 'next'): number {
  let count = 0
  for (let t = at === 'next' ? 1 : 0; t < labels.length; t++) if (labels[t] !== NO_LABEL) count++
  return count
}
