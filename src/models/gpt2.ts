/**
 * @file GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each sublayer, linear layers stored transposed.
 * Must not know training, adapters or engines. Source of the fields: transformers `GPT2Config`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { type CommonConfig, causalLM, LARGEST } from './causal-lm.ts'
import type { Net } from './net.ts'

interface Gpt2Config extends CommonConfig {
  readonly innerSize: number
  readonly activation: Activation
  readonly eps: number
  readonly scaleWeights: boolean
  readonly scaleByLayer: boolean
  readonly dropout: { readonly embedding: number; readonly attention: number; readonly residual: number }
}

export const gpt2 = causalLM<Gpt2Config>({
  modelTypes: ['gpt2'],
  prefix: 'transformer',
  config: gpt2Config,
  body(net, c, ids) {
    const tokens = net.embedding('transformer.wte', ids, c.vocabSize, c.hiddenSize, 'input')
    const places = net.embedding('transformer.wpe', net.inputs.positions, c.maxPositions, c.hiddenSize)
    let h = net.dropout('transformer.drop', net.g.add(tokens, places), c.dropout.embedding)
    for (let layer = 0; layer < c.layers; layer++)
      h = net.scope(`transformer.h.${layer}`, () => block(net, c, h, layer))
    return net.layerNorm('transformer.ln_f', h, c.eps)
  },
  head: (c) => ({
    path: 'lm_head',
    vocabSize: c.vocabSize,
    tiedTo: c.tieWordEmbeddings ? 'transformer.wte' : undefined,
  }),
  block: /^transformer\.h\.\d+/,
  // GPT-2 paper, section 2.3: residual projections start smaller by the root of the number of residual layers.
  initialDeviation: (c, name) =>
    name.endsWith('c_proj.weight') ? c.initializerRange / Math.sqrt(2 * c.layers) : undefined,
})

function gpt2Config(raw: HfConfig): Gpt2Config {
  const hiddenSize = raw.int('n_embd', { min: 1, max: LARGEST.width, default: 768 })
  const heads = raw.int('n_head', { min: 1, default: 12 })
  if (hiddenSize % heads !== 0) throw raw.fault('n_head', `is ${heads}, which does not divide n_embd ${hiddenSize}`)
  raw.require({ add_cross_attention: false, reorder_and_upcast_attn: false })
  // Unused by the language model itself: a summary head's settings, and the context length under its older name.
  for (const field of [
    'n_ctx',
    'summary_type',
    'summary_use_proj',
    'summary_activation',
    'summary_proj_to_labels',
    'summary_first_dropout',
    'reorder_and_upcast_attn',
    'add_cross_attention',
  ]) {
    raw.value(field)
  }
  const rate = (field: string): number => raw.number(field, { min: 0, max: 1, default: 0.1 })
  return {
    vocabSize: raw.int('vocab_size', { min: 1, max: LARGEST.ids, default: 50257 }),
    hiddenSize,
    layers: raw.int('n_layer', { min: 1, max: LARGEST.layers, default: 12 }),
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    maxPositions: raw.int('n_positions', { min: 1, max: LARGEST.ids, default: 1024 }),
    tieWordEmbeddings: raw.boolean('tie_word_embeddings', { default: true }),
    initializerRange: raw.number('initializer_range', { min: 0, default: 0.02 }),
    innerSize: raw.int('n_inner', { min: 1, max: LARGEST.width, default: 4 * hiddenSize }),
    activation: activationOf(raw, 'activation_function', 'gelu_new'),
    eps: raw.number('layer_norm_epsilon', { min: 0, default: 1e-5 }),
    scaleWeights: raw.boolean('scale_attn_weights', { default: true }),
    scaleByLayer: raw.boolean('scale_attn_by_inverse_layer_idx', { default: false }),
    dropout: { embedding: rate('embd_pdrop'), attention: rate('attn_pdrop'), residual: rate('resid_pdrop') },
  }
}

function block(net: Net, c: Gpt2Config, x: Node, layer: number): Node {
  const { g } = net
  const normed = net.layerNorm('ln_1', x, c.eps)
  const h = g.add(
    x,
    net.scope('attn', () => attention(net, c, normed, layer)),
  )
  const normedAgain = net.layerNorm('ln_2', h, c.eps)
  return g.add(
    h,
    net.scope('mlp', () => mlp(net, c, normedAgain)),
  )
}

function attention(net: Net, c: Gpt2Config, x: Node, layer: number): Node {
  const { g } = net
  const qkv = net.linear('c_attn', x, 3 * c.hiddenSize, { bias: true, conv1d: true })
  const part = (i: number): Node =>
    net.splitHeads(g.slice(qkv, { axis: 2, start: i * c.hiddenSize, size: c.hiddenSize }), c.heads)
  const scale = (c.scaleWeights ? c.headDim ** -0.5 : 1) / (c.scaleByLayer ? layer + 1 : 1)
  const mixed = net.attention({ q: part(0), k: part(1), v: part(2), scale, dropout: c.dropout.attention })
  const out = net.linear('c_proj', mixed, c.hiddenSize, { bias: true, conv1d: true })
  return net.dropout('resid_dropout', out, c.dropout.residual)
}

function mlp(net: Net, c: Gpt2Config, x: Node): Node {
  const inner = activate(net.g, c.activation, net.linear('c_fc', x, c.innerSize, { bias: true, conv1d: true }))
  const out = net.linear('c_proj', inner, c.hiddenSize, { bias: true, conv1d: true })
  return net.dropout('dropout', out, c.dropout.residual)
}
