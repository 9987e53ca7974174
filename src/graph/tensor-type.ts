/** @file The type of a value in a graph. */
import type { Dim } from '../tensor/dim.ts'
import type { DType } from '../tensor/dtype.ts'

/** Element type and shape; symbolic dimensions are canonical text (see tensor/dim.ts). */
export interface TensorType {
  readonly dtype: DType
  readonly shape: readonly Dim[]
}
