/** @file A model folder with random weights, for measuring speed without downloading anything. Must not know engines. */
import { join } from 'node:path'
import { type LazyTensor, writeSafetensors } from '../../formats/tensor-files.ts'
import type { Model } from '../../models/model.ts'
import { writeFileAtomic } from '../../support/atomic-write.ts'
import { hashName } from '../../support/random.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import { layoutFull } from '../../train/full-layout.ts'

/** The shape of SmolLM2-135M (its published config.json, Apache-2.0), without its weights. */
export const SMOLLM2_135M = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  hidden_act: 'silu',
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  tie_word_embeddings: true,
  vocab_size: 49152,
  bos_token_id: 0,
  eos_token_id: 0,
  torch_dtype: 'float32',
} as const

/** Writes `config.json` and f32 weights uniform in ±0.03 (norms: one) into a folder; a classifier's head stays away. */
export async function writeRandomModel(folder: string, config: object, model: Model): Promise<void> {
  const written = model.modules.filter(({ isTaskHead }) => !isTaskHead)
  const tensors = layoutFull(written).tensors.map(({ id, shape, module }): LazyTensor => {
    const isNorm = model.modules.some((m) => m.path === module && m.kind === 'norm')
    return {
      name: id,
      dtype: 'f32',
      shape,
      data: () => ({
        dtype: 'f32',
        shape,
        data: isNorm ? new Float32Array(sizeOf(shape)).fill(1) : uniform(sizeOf(shape), hashName(id)),
      }),
    }
  })
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { metadata: { format: 'pt' } })
  await writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
}

/** xorshift32: quality does not matter here, a hundred million numbers a second do. */
function uniform(length: number, seed: number): Float32Array {
  const out = new Float32Array(length)
  let x = seed | 1
  for (let i = 0; i < length; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    out[i] = (x / 2147483648) * 0.03
  }
  return out
}
