/** @file Mistral (arXiv 2310.06825): Llama's body without biases, with a sliding window. Fields: transformers `MistralConfig`. */
import { causalLM } from './causal-lm.ts'
import { type LlamaConfig, llamaFamily, llamaFields } from './llama.ts'

export const mistral = causalLM<LlamaConfig>({
  ...llamaFamily,
  modelTypes: ['mistral'],
  config(raw) {
    const window = raw.int('sliding_window', { min: 1, default: undefined })
    return { ...llamaFields(raw), qkvBias: false, outputBias: false, mlpBias: false, window: () => window }
  },
})
