/** @file Qwen 2 and 2.5 (arXiv 2407.10671): Llama's body with biases on q, k and v. Fields: transformers `Qwen2Config`. */
import type { HfConfig } from '../formats/hf-config.ts'
import { causalLM } from './causal-lm.ts'
import { layerTypes } from './layer-types.ts'
import { type LlamaConfig, llamaFamily, llamaFields } from './llama.ts'

export const qwen2 = causalLM<LlamaConfig>({
  ...llamaFamily,
  modelTypes: ['qwen2'],
  config(raw) {
    raw.require({ use_mrope: false })
    const fields = llamaFields(raw)
    return { ...fields, qkvBias: true, outputBias: false, mlpBias: false, window: qwenWindows(raw, fields.layers) }
  },
})

/** `use_sliding_window` with `max_window_layers` (transformers 4), or `layer_types` which spells it out (5). */
export function qwenWindows(raw: HfConfig, layers: number): (layer: number) => number | undefined {
  const used = raw.boolean('use_sliding_window', { default: false })
  const width = raw.int('sliding_window', { min: 1, default: undefined })
  const from = raw.int('max_window_layers', { min: 0, default: 28 })
  const types = layerTypes(raw, layers, (layer) => (layer >= from ? 'sliding_attention' : 'full_attention'))
  return (layer) => (used && types[layer] === 'sliding_attention' ? width : undefined)
}
