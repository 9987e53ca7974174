/**
 * @file What one forward pass eats: packed or padded rows of tokens with segments, positions and labels.
 * Must not know engines.
 */
import type { TypedTensor } from '../tensor/host-tensor.ts'

/**
 * A micro-batch. Rows are padded on the right to one length. A row holds one sample, or several where packed; tokens see
 * only earlier tokens of their own segment.
 */
export interface Batch {
  /** `i64[batch, seq]` */
  readonly ids: TypedTensor<'i64'>
  /** `i64[batch, seq]`: 0 padding, k the k-th sample of the row. */
  readonly segments: TypedTensor<'i64'>
  /** `i64[batch, seq]`: from 0 in each sample; 0 in padding. */
  readonly positions: TypedTensor<'i64'>
  /** `u32[batch, seq]`: `Example.place` of the token's sample, 0 in padding. */
  readonly places: TypedTensor<'u32'>
  /** `i64[labelled]`: flat index `row * seq + t - 1` of the state that predicts the label at t. */
  readonly labelRows: TypedTensor<'i64'>
  /** `i64[labelled]`: the labels, in the order of `labelRows`. */
  readonly labels: TypedTensor<'i64'>
  /** Tokens, padding not counted. */
  readonly tokens: number
  /** Samples. */
  readonly examples: number
}
