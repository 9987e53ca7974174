/** @file The tensors that a model's forward pass is fed, from a batch of tokens. Must not know where batches come from. */
import { type HostTensor, i64, type TypedTensor, zeros } from '../tensor/host-tensor.ts'
import type { FeedName, Model } from './model.ts'

/** Tokens of a batch, `i64[batch, seq]` each. */
export interface TokenGrid {
  readonly ids: TypedTensor<'i64'>
  readonly positions: TypedTensor<'i64'>
  readonly segments: TypedTensor<'i64'>
  /** Absent where all tokens are of the first text. */
  readonly types?: TypedTensor<'i64'> | undefined
}

/** What the forward pass of a model reads. */
export function forwardTensors(
  { ids, positions, segments, types }: TokenGrid,
  { reads }: { readonly reads: Pick<Model['reads'], 'has'> },
): Record<string, HostTensor> {
  const [, seq = 0] = ids.shape
  const all: Record<FeedName, HostTensor> = {
    ids,
    positions,
    segments,
    tokenTypes: types ?? zeros('i64', ids.shape),
    columns: i64(
      [seq],
      Array.from({ length: seq }, (_, t) => t),
    ),
  }
  return Object.fromEntries(Object.entries(all).filter(([name]) => reads.has(name as FeedName)))
}
