/** @file A tensor as it lies in a file: what readers hand to engines that map weights instead of copying them. */
import type { DType } from './dtype.ts'

export interface WeightRef {
  /** Absolute path of the file itself (symlinks resolved). */
  readonly file: string
  readonly dtype: DType
  readonly shape: readonly number[]
  /** Bytes from the start of the file. */
  readonly offset: number
  readonly bytes: number
}
