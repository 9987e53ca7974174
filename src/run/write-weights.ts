/** @file Writes a model's weights as transformers lays them out: one file, or shards with an index. Must not know models. */
import { join } from 'node:path'
import { type LazyTensor, writeSafetensors } from '../formats/tensor-files.ts'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { BYTES } from '../tensor/dtype.ts'
import { sizeOf } from '../tensor/host-tensor.ts'

/**
 * Writes each list of tensors as a file of `folder`: `model.safetensors`, or `model-00001-of-0000N.safetensors` with
 * `model.safetensors.index.json`. One tensor is in memory at a time. @returns bytes of all tensors
 * @throws LowrankError `io`, `stopped`
 */
export async function writeWeights(
  folder: string,
  shards: readonly (readonly LazyTensor[])[],
  signal?: AbortSignal,
): Promise<number> {
  const number = (n: number): string => String(n).padStart(5, '0')
  const names = shards.map((_, i) =>
    shards.length === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`,
  )
  const weightMap: Record<string, string> = {}
  let total = 0
  for (const [i, tensors] of shards.entries()) {
    const name = names[i] ?? ''
    await writeSafetensors(join(folder, name), tensors, { metadata: { format: 'pt' }, signal })
    for (const tensor of tensors) {
      weightMap[tensor.name] = name
      total += sizeOf(tensor.shape) * BYTES[tensor.dtype]
    }
  }
  if (shards.length > 1) {
    const index = { metadata: { total_size: total }, weight_map: weightMap }
    await writeFileAtomic(join(folder, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`)
  }
  return total
}
