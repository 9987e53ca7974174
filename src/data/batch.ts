/**
 * @file What one forward pass eats: packed or padded rows of tokens with segments, positions and labels.
 * Must not know engines.
 */
import type { TypedTensor } from '../tensor/host-tensor.ts'

/**
 * A micro-batch. Rows are padded on the right to one length. A row holds one sample, or several where packed; tokens see
 * only tokens of their own segment, and in a language model only earlier ones.
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
  /** `i64[batch, seq]`: which text of a pair a token belongs to; absent where all belong to the first. */
  readonly types?: TypedTensor<'i64'> | undefined
  /** `i64[labelled]`: flat index of the state that predicts a label: `row * seq + t − 1` for the next token's at t, or `+ t`. */
  readonly labelRows: TypedTensor<'i64'>
  /** `i64[labelled]`: the labels, in the order of `labelRows`. */
  readonly labels: TypedTensor<'i64'>
  /** `f32[labelled]`: the numbers regression rows ask for, in the same order. */
  readonly targets?: TypedTensor<'f32'> | undefined
  /** Tokens, padding not counted. */
  readonly tokens: number
  /** Samples. */
  readonly examples: number
}
