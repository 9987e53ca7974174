/** @file Gemma (arXiv 2403.08295): Llama's body with scaled embeddings and norms about one. Fields: transformers `GemmaConfig`. */
import type { HfConfig } from '../formats/hf-config.ts'
import { activationOf } from './activation.ts'
import { causalLM } from './causal-lm.ts'
import { type LlamaConfig, llamaFamily, llamaFields } from './llama.ts'

export const gemma = causalLM<LlamaConfig>({
  ...llamaFamily,
  modelTypes: ['gemma'],
  config(raw) {
    const bias = raw.boolean('attention_bias', { default: false })
    raw.require({ use_bidirectional_attention: false })
    const fields = llamaFields(raw, { headDim: 256, activation: 'gelu_pytorch_tanh', tieWordEmbeddings: true })
    return {
      ...fields,
      activation: gemmaActivation(raw),
      qkvBias: bias,
      outputBias: bias,
      mlpBias: false,
      plusOne: true,
      embeddingScale: fields.hiddenSize ** 0.5,
      window: () => undefined,
    }
  },
})

/** Files of the first release say `hidden_act: gelu` and mean the tanh form (transformers' GemmaMLP); `hidden_activation` wins. */
function gemmaActivation(raw: HfConfig): LlamaConfig['activation'] {
  if (raw.has('hidden_activation')) return activationOf(raw, 'hidden_activation', 'gelu_pytorch_tanh')
  raw.value('hidden_activation')
  const named = activationOf(raw, 'hidden_act', 'gelu_pytorch_tanh')
  return named === 'gelu' ? 'gelu_pytorch_tanh' : named
}
