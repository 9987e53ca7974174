/**
 * @file ModernBERT (arXiv 2412.13663): norms before each sublayer, rotary positions, most layers with a window, a gated MLP
 * whose two inputs are one matrix. Must not know training or engines. Fields: transformers `ModernBertConfig`.
 */
import { HfConfig } from '../formats/hf-config.ts'
import { ropeParameters } from '../formats/rope-parameters.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { labelLayer } from './bert.ts'
import { type EncoderConfig, encoder } from './encoder.ts'
import { type LayerType, layerTypes } from './layer-types.ts'
import { LARGEST } from './model.ts'
import type { Net } from './net.ts'
import { type Rope, ropeOfSection } from './rope.ts'

interface ModernBertConfig extends EncoderConfig {
  readonly innerSize: number
  readonly activation: Activation
  readonly classifierActivation: Activation
  readonly eps: number
  readonly bias: { readonly norm: boolean; readonly attention: boolean; readonly mlp: boolean; readonly head: boolean }
  readonly decoderBias: boolean
  readonly meanPooling: boolean
  readonly rope: (layer: number) => Rope
  /** Keys fewer than this many positions away are seen; undefined where all are. */
  readonly window: (layer: number) => number | undefined
  readonly dropout: {
    readonly embedding: number
    readonly attention: number
    readonly mlp: number
    readonly classifier: number
  }
}

export const modernbert = encoder<ModernBertConfig>({
  classes: { modernbert: 'ModernBert' },
  prefix: 'model',
  config: modernbertConfig,
  body(net, c, ids) {
    let h = net.scope('model.embeddings', () => {
      const tokens = net.embedding('tok_embeddings', ids, c.vocabSize, c.hiddenSize, 'input')
      return net.dropout('drop', norm(net, c, 'norm', tokens), c.dropout.embedding)
    })
    for (let layer = 0; layer < c.layers; layer++) h = net.scope(`model.layers.${layer}`, () => block(net, c, h, layer))
    return norm(net, c, 'model.final_norm', h)
  },
  pooled: (net, c, hidden) => (c.meanPooling ? net.sampleMean(hidden) : hidden),
  sequenceHead: labels,
  tokenHead: labels,
  maskedHead: {
    transform: predictionHead,
    output: (c) => ({
      path: 'decoder',
      vocabSize: c.vocabSize,
      bias: c.decoderBias,
      tiedTo: c.tieWordEmbeddings ? 'model.embeddings.tok_embeddings' : undefined,
    }),
  },
  block: /^model\.layers\.\d+/,
  // `ModernBertPreTrainedModel._init_weights`: smaller where a residual is added to.
  initialDeviation(c, name) {
    if (name === 'classifier.weight') return c.hiddenSize ** -0.5
    const out = name.endsWith('.Wo.weight') || name === 'head.dense.weight' || name === 'decoder.weight'
    return out ? c.initializerRange / Math.sqrt(2 * c.layers) : undefined
  },
})

function modernbertConfig(raw: HfConfig): ModernBertConfig {
  const hiddenSize = raw.int('hidden_size', { min: 1, max: LARGEST.width, default: 768 })
  const heads = raw.int('num_attention_heads', { min: 1, default: 12 })
  const layers = raw.int('num_hidden_layers', { min: 1, max: LARGEST.layers, default: 22 })
  const maxPositions = raw.int('max_position_embeddings', { min: 1, max: LARGEST.ids, default: 8192 })
  const every = raw.int('global_attn_every_n_layers', { min: 1, default: 3 })
  const types = layerTypes(raw, layers, (i): LayerType => (i % every === 0 ? 'full_attention' : 'sliding_attention'))
  const local = raw.int('local_attention', { min: 2, default: 128 })
  const ropes = ropesOf(raw, hiddenSize / heads, maxPositions)
  // How other implementations go about the same numbers, and the truncation of a draw.
  for (const field of ['deterministic_flash_attn', 'reference_compile', 'repad_logits_with_grad', 'sparse_prediction'])
    raw.value(field)
  for (const field of ['sparse_pred_ignore_index', 'initializer_cutoff_factor', 'position_embedding_type'])
    raw.value(field)
  const is = (field: string, fallback: boolean): boolean => raw.boolean(field, { default: fallback })
  const rate = (field: string): number => raw.number(field, { min: 0, max: 1, default: 0 })
  const isFull = (layer: number): boolean => types[layer] === 'full_attention'
  return {
    vocabSize: raw.int('vocab_size', { min: 1, max: LARGEST.ids, default: 50368 }),
    hiddenSize,
    layers,
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    maxPositions,
    tieWordEmbeddings: is('tie_word_embeddings', true),
    initializerRange: raw.number('initializer_range', { min: 0, default: 0.02 }),
    tokenTypes: 0,
    innerSize: raw.int('intermediate_size', { min: 1, max: LARGEST.width, default: 1152 }),
    activation: activationOf(raw, 'hidden_activation', 'gelu'),
    classifierActivation: activationOf(raw, 'classifier_activation', 'gelu'),
    eps: normEps(raw),
    bias: {
      norm: is('norm_bias', false),
      attention: is('attention_bias', false),
      mlp: is('mlp_bias', false),
      head: is('classifier_bias', false),
    },
    decoderBias: is('decoder_bias', true),
    meanPooling: raw.oneOf('classifier_pooling', ['cls', 'mean'], { default: 'cls' }) === 'mean',
    rope: (layer) => (isFull(layer) ? ropes.full : ropes.local),
    window: (layer) => (isFull(layer) ? undefined : Math.floor(local / 2) + 1),
    dropout: {
      embedding: rate('embedding_dropout'),
      attention: rate('attention_dropout'),
      mlp: rate('mlp_dropout'),
      classifier: rate('classifier_dropout'),
    },
  }
}

/** Published files name it twice; `norm_eps` is the one that transformers computes with. */
function normEps(raw: HfConfig): number {
  raw.value('layer_norm_eps')
  return raw.number('norm_eps', { min: 0, default: 1e-5 })
}

/** `rope_parameters` by layer type (transformers 5), or one theta for each kind of layer (4). */
function ropesOf(raw: HfConfig, headDim: number, maxPositions: number): { full: Rope; local: Rope } {
  const theta = (field: string, fallback: number): number =>
    raw.number(field, { min: Number.MIN_VALUE, default: fallback })
  const thetas = { full: theta('global_rope_theta', 160_000), local: theta('local_rope_theta', 10_000) }
  const section = ropeParameters(raw)
  const nothing = new HfConfig({}, raw.file, 'rope_parameters.')
  const rope = (type: LayerType, base: number): Rope =>
    ropeOfSection(section.object(type) ?? nothing, headDim, maxPositions, { theta: base })
  return { full: rope('full_attention', thetas.full), local: rope('sliding_attention', thetas.local) }
}

function norm(net: Net, c: ModernBertConfig, name: string, x: Node): Node {
  return net.layerNorm(name, x, c.eps, { bias: c.bias.norm })
}

function block(net: Net, c: ModernBertConfig, x: Node, layer: number): Node {
  const { g } = net
  const normed = layer === 0 ? x : norm(net, c, 'attn_norm', x) // the embeddings' norm stands right before the first
  const mixed = net.scope('attn', () => attention(net, c, normed, layer))
  const h = g.add(x, net.sublayer('attn', 'attention', { out: mixed, residual: x }))
  const again = norm(net, c, 'mlp_norm', h)
  const out = net.scope('mlp', () => mlp(net, c, again))
  return g.add(h, net.sublayer('mlp', 'feedForward', { out, residual: h }))
}

function attention(net: Net, c: ModernBertConfig, x: Node, layer: number): Node {
  const bias = c.bias.attention
  const qkv = net.linear('Wqkv', x, 3 * c.hiddenSize, { bias })
  const part = (i: number): Node =>
    net.splitHeads(net.g.slice(qkv, { axis: 2, start: i * c.hiddenSize, size: c.hiddenSize }), c.heads)
  const rope = c.rope(layer)
  const mixed = net.attention({
    q: net.rotary(part(0), rope),
    k: net.rotary(part(1), rope),
    v: part(2),
    window: c.window(layer),
    bidirectional: true,
    dropout: c.dropout.attention,
  })
  return net.dropout('out_drop', net.linear('Wo', mixed, c.hiddenSize, { bias }), c.dropout.attention)
}

function mlp(net: Net, c: ModernBertConfig, x: Node): Node {
  const { g } = net
  const both = net.linear('Wi', x, 2 * c.innerSize, { bias: c.bias.mlp })
  const [inner, gate] = [0, c.innerSize].map((start) => g.slice(both, { axis: 2, start, size: c.innerSize }))
  const product = g.mul(activate(g, c.activation, inner ?? both), gate ?? both)
  return net.linear('Wo', net.dropout('drop', product, c.dropout.mlp), c.hiddenSize, { bias: c.bias.mlp })
}

function predictionHead(net: Net, c: ModernBertConfig, rows: Node): Node {
  const inner = net.linear('head.dense', rows, c.hiddenSize, { bias: c.bias.head })
  return norm(net, c, 'head.norm', activate(net.g, c.classifierActivation, inner))
}

function labels(net: Net, c: ModernBertConfig, rows: Node, count: number): Node {
  return labelLayer(net, predictionHead(net, c, rows), count, c.dropout.classifier)
}
