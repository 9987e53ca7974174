/** @file Qwen 2 and 2.5 (arXiv 2407.10671): Llama's body with biases on q, k and v. Fields: transformers `Qwen2Config`. */
import type { HfConfig } from '../formats/hf-config.ts'
import { causalLM } from './causal-lm.ts'
import { type LlamaConfig, llamaFamily, llamaFields } from './llama.ts'

export const qwen2 = causalLM<LlamaConfig>({
  ...llamaFamily,
  modelTypes: ['qwen2'],
  config(raw) {
    const fields = llamaFields(raw)
    return { ...fields, qkvBias: true, outputBias: false, mlpBias: false, window: windows(raw, fields.layers) }
  },
})

/** `use_sliding_window` with `max_window_layers` (transformers 4), or `layer_types` which spells it out (5). */
function windows(raw: HfConfig, layers: number): (layer: number) => number | undefined {
  const used = raw.boolean('use_sliding_window', { default: false })
  const width = raw.int('sliding_window', { min: 1, default: undefined })
  const from = raw.int('max_window_layers', { min: 0, default: 28 })
  const types = raw.strings('layer_types', { default: undefined })
  if (types && (types.length !== layers || types.some((t) => t !== 'full_attention' && t !== 'sliding_attention'))) {
    throw raw.fault('layer_types', `must name full_attention or sliding_attention for each of ${layers} layers`)
  }
  const sliding = (layer: number): boolean => (types ? types[layer] === 'sliding_attention' : layer >= from)
  return (layer) => (used && sliding(layer) ? width : undefined)
}
