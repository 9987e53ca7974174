/**
 * @file Gemma 2 (arXiv 2408.00118): capped scores and logits, a norm before and after each sublayer, windows in every
 * other layer. Gemma 3 shares the block. Must not know training or engines. Fields: transformers `Gemma2Config`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { causalLM } from './causal-lm.ts'
import { type LayerType, layerTypes } from './layer-types.ts'
import { embedTokens, type LlamaConfig, llamaFamily, llamaHead, llamaMlp, llamaNorm, llamaShape } from './llama.ts'
import type { Head, Net } from './net.ts'
import { type Rope, ropeOf } from './rope.ts'

export interface Gemma2Config extends Omit<LlamaConfig, 'rope' | 'qkvBias' | 'outputBias'> {
  readonly attentionBias: boolean
  readonly scale: number
  readonly scoreCap: number | undefined
  readonly logitCap: number | undefined
  readonly rope: (layer: number) => Rope
}

/** What Gemma 2 and 3 read alike; `caps` are a family's defaults. */
export function gemma2Fields(
  raw: HfConfig,
  types: (layers: number) => readonly LayerType[],
  caps: { readonly score: number | undefined; readonly logit: number | undefined },
): Omit<Gemma2Config, 'rope'> {
  const shape = llamaShape(raw, {
    headDim: 256,
    activation: 'gelu_pytorch_tanh',
    activationField: 'hidden_activation',
    tieWordEmbeddings: true,
  })
  const layers = types(shape.layers)
  const width = raw.int('sliding_window', { min: 1, default: 4096 })
  raw.require({ use_bidirectional_attention: false })
  raw.value('hidden_act') // beside hidden_activation, which is the one that counts
  // null says that nothing is capped; a file without the field means the default.
  const cap = (field: string, fallback: number | undefined): number | undefined =>
    Object.hasOwn(raw.json(), field) ? raw.number(field, { min: Number.MIN_VALUE, default: undefined }) : fallback
  return {
    ...shape,
    attentionBias: raw.boolean('attention_bias', { default: false }),
    mlpBias: false,
    plusOne: true,
    embeddingScale: shape.hiddenSize ** 0.5,
    scale: raw.number('query_pre_attn_scalar', { min: Number.MIN_VALUE, default: 256 }) ** -0.5,
    scoreCap: cap('attn_logit_softcapping', caps.score),
    logitCap: cap('final_logit_softcapping', caps.logit),
    window: (layer) => (layers[layer] === 'sliding_attention' ? width : undefined),
  }
}

export const gemma2 = causalLM<Gemma2Config>({
  ...llamaFamily,
  modelTypes: ['gemma2'],
  config(raw) {
    const alternate = (layer: number): LayerType => (layer % 2 === 0 ? 'sliding_attention' : 'full_attention')
    const fields = gemma2Fields(raw, (layers) => layerTypes(raw, layers, alternate), { score: 50, logit: 30 })
    const rope = ropeOf(raw, fields.headDim, fields.maxPositions)
    return { ...fields, rope: () => rope, longFrom: rope.long?.from }
  },
  body: gemma2Body,
  head: gemma2Head,
})

export function gemma2Head(c: Gemma2Config): Head {
  return { ...llamaHead(c), softcap: c.logitCap }
}

export function gemma2Body(net: Net, c: Gemma2Config, ids: Node): Node {
  let h = embedTokens(net, c, ids)
  for (let layer = 0; layer < c.layers; layer++) h = net.scope(`model.layers.${layer}`, () => block(net, c, h, layer))
  return llamaNorm(net, c, 'model.norm', h)
}

function block(net: Net, c: Gemma2Config, x: Node, layer: number): Node {
  const { g } = net
  const normed = llamaNorm(net, c, 'input_layernorm', x)
  const mixed = net.scope('self_attn', () => attention(net, c, normed, layer))
  const h = g.add(x, llamaNorm(net, c, 'post_attention_layernorm', mixed))
  const normedAgain = llamaNorm(net, c, 'pre_feedforward_layernorm', h)
  const out = net.scope('mlp', () => llamaMlp(net, c, normedAgain))
  return g.add(h, llamaNorm(net, c, 'post_feedforward_layernorm', out))
}

function attention(net: Net, c: Gemma2Config, x: Node, layer: number): Node {
  const bias = c.attentionBias
  const part = (name: string, heads: number): Node =>
    net.splitHeads(net.linear(name, x, heads * c.headDim, { bias }), heads)
  const normed = (name: string, heads: Node): Node => (c.qkNorm ? llamaNorm(net, c, name, heads) : heads)
  const rope = c.rope(layer)
  const mixed = net.attention({
    q: net.rotary(normed('q_norm', part('q_proj', c.heads)), rope),
    k: net.rotary(normed('k_norm', part('k_proj', c.kvHeads)), rope),
    v: part('v_proj', c.kvHeads),
    scale: c.scale,
    window: c.window(layer),
    softcap: c.scoreCap,
    dropout: c.attentionDropout,
  })
  return net.linear('o_proj', mixed, c.hiddenSize, { bias })
}
