/**
 * @file Activated LoRA (arXiv 2504.12397): from which token on an adapter acts. As PEFT's `calculate_alora_offsets`
 * (peft/tuners/lora/variants.py 0.21), but sample by sample where rows are packed.
 * Must not know graphs, tokenizers or files.
 */
import { type TypedTensor, tensor } from '../tensor/host-tensor.ts'

/** Ids of tokens, as arrays or as a tensor's data hold them. */
type Ids = ArrayLike<number | bigint>

/**
 * Where the last occurrence of `invocation` between `start` and `end` begins, or undefined where there is none.
 * @param end the place after the last token
 */
export function lastInvocation(
  ids: Ids,
  invocation: readonly number[],
  start = 0,
  end = ids.length,
): number | undefined {
  for (let at = end - invocation.length; at >= start; at--)
    if (invocation.every((token, i) => Number(ids[at + i]) === token)) return at
  return undefined
}

/**
 * 1 for each token from the last invocation of its sample on, 0 for others and for padding.
 * @param ids i64[batch, seq]
 * @param segments i64[batch, seq], the sample of each token; 0 is padding
 * @returns f32[batch, seq]
 */
export function activeTokens(
  ids: TypedTensor<'i64'>,
  segments: TypedTensor<'i64'>,
  invocation: readonly number[],
): TypedTensor<'f32'> {
  const active = new Float32Array(ids.data.length)
  const seq = ids.shape[1] ?? 0
  for (let row = 0; row < active.length; row += seq) {
    for (let start = row; start < row + seq; ) {
      let end = start + 1
      while (end < row + seq && segments.data[end] === segments.data[start]) end++
      const at = segments.data[start] === 0n ? undefined : lastInvocation(ids.data, invocation, start, end)
      if (at !== undefined) active.fill(1, at, end)
      start = end
    }
  }
  return tensor('f32', ids.shape, active)
}
