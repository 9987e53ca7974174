/**
 * @file One training example: ids, labels, and where in the data it stood. Must not know how it was made.
 */

/** Label of a position without loss, as in transformers. */
export const NO_LABEL = -100

export interface Example {
  /** Token ids. */
  readonly ids: Int32Array
  /** A label a token, `NO_LABEL` for none; the one at t is predicted from positions < t, so the one at 0 never counts. */
  readonly labels: Int32Array
  /** Row number in the data, from 0 over all files, refused and skipped rows included; the key of dropout masks. */
  readonly place: number
  /** `file:line` */
  readonly source: string
}

/** Labels that count: at positions ≥ 1 and not `NO_LABEL`. */
export function countLabels(labels: ArrayLike<number>): number {
  let count = 0
  for (let t = 1; t < labels.length; t++) if (labels[t] !== NO_LABEL) count++
  return count
}
