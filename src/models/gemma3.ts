/**
 * @file Gemma 3, text (arXiv 2503.19786): Gemma 2's block with normed queries and keys in place of capped scores, and
 * rotary frequencies of their own in windowed layers. Fields: transformers `Gemma3TextConfig`.
 */
import { HfConfig } from '../formats/hf-config.ts'
import { ropeParameters } from '../formats/rope-parameters.ts'
import { causalLM } from './causal-lm.ts'
import { type Gemma2Config, gemma2Body, gemma2Fields, gemma2Head } from './gemma2.ts'
import { type LayerType, layerTypes } from './layer-types.ts'
import { llamaFamily } from './llama.ts'
import { type Rope, ropeOfSection } from './rope.ts'

/** `rope_theta` where a file says nothing. */
const THETA: Readonly<Record<LayerType, number>> = { full_attention: 1e6, sliding_attention: 1e4 }

export const gemma3 = causalLM<Gemma2Config>({
  ...llamaFamily,
  modelTypes: ['gemma3_text'],
  config(raw) {
    // Named in the config; transformers' Gemma 3 reads it and applies it nowhere, and no published file sets it.
    raw.require({ attn_logit_softcapping: null })
    // Under either name: every how many layers one sees everything.
    const underscored = raw.int('_sliding_window_pattern', { min: 1, default: 6 })
    const every = raw.int('sliding_window_pattern', { min: 1, default: underscored })
    const type = (layer: number): LayerType => ((layer + 1) % every === 0 ? 'full_attention' : 'sliding_attention')
    const fields = gemma2Fields(raw, (layers) => layerTypes(raw, layers, type), { score: undefined, logit: undefined })
    const { full, sliding } = ropes(raw, fields)
    const rope = (layer: number): Rope => (fields.window(layer) === undefined ? full : sliding)
    return { ...fields, qkNorm: true, rope, longFrom: full.long?.from ?? sliding.long?.from }
  },
  body: gemma2Body,
  head: gemma2Head,
})

/** `rope_parameters` by layer type (transformers 5); or one section for the full layers, windowed ones never stretched (4). */
function ropes(raw: HfConfig, c: Omit<Gemma2Config, 'rope'>): { full: Rope; sliding: Rope } {
  const local = raw.number('rope_local_base_freq', { min: Number.MIN_VALUE, default: THETA.sliding_attention })
  const section = ropeParameters(raw)
  const byType = (type: LayerType): HfConfig | undefined => section.object(type)
  const nothing = new HfConfig({}, raw.file, 'rope_parameters.')
  const rope = (from: HfConfig, theta: number): Rope => ropeOfSection(from, c.headDim, c.maxPositions, { theta })
  const sliding = rope(byType('sliding_attention') ?? nothing, local)
  const full = rope(byType('full_attention') ?? section, THETA.full_attention)
  return { full, sliding }
}
