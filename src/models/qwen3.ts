/** @file Qwen 3, dense (arXiv 2505.09388): Llama's body with normed queries and keys. Fields: transformers `Qwen3Config`. */
import { causalLM } from './causal-lm.ts'
import { type LlamaConfig, llamaFamily, llamaFields } from './llama.ts'
import { qwenWindows } from './qwen2.ts'

export const qwen3 = causalLM<LlamaConfig>({
  ...llamaFamily,
  modelTypes: ['qwen3'],
  config(raw) {
    const bias = raw.boolean('attention_bias', { default: false })
    const fields = llamaFields(raw, { headDim: 128 })
    const window = qwenWindows(raw, fields.layers)
    return { ...fields, qkvBias: bias, outputBias: bias, mlpBias: false, qkNorm: true, window }
  },
})
