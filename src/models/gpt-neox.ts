/**
 * @file GPT-NeoX (arXiv 2204.06745), also Pythia's: q, k, v interleaved by head in one layer, part of each head turned,
 * attention and MLP side by side or one after the other. Fields: transformers `GPTNeoXConfig`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { type CommonConfig, causalLM, LARGEST } from './causal-lm.ts'
import type { Net } from './net.ts'
import { type Rope, ropeOf } from './rope.ts'

interface GptNeoxConfig extends CommonConfig {
  readonly intermediateSize: number
  readonly activation: Activation
  readonly eps: number
  readonly rope: Rope
  readonly attentionBias: boolean
  readonly parallel: boolean
  readonly attentionDropout: number
  readonly hiddenDropout: number
}

export const gptNeox = causalLM<GptNeoxConfig>({
  modelTypes: ['gpt_neox'],
  prefix: 'gpt_neox',
  config: gptNeoxConfig,
  body(net, c, ids) {
    const tokens = net.embedding('gpt_neox.embed_in', ids, c.vocabSize, c.hiddenSize, 'input')
    let h = net.dropout('gpt_neox.emb_dropout', tokens, c.hiddenDropout)
    for (let layer = 0; layer < c.layers; layer++) h = net.scope(`gpt_neox.layers.${layer}`, () => block(net, c, h))
    return net.layerNorm('gpt_neox.final_layer_norm', h, c.eps)
  },
  head: (c) => ({
    path: 'lm_head',
    vocabSize: c.vocabSize,
    tiedTo: c.tieWordEmbeddings ? 'gpt_neox.embed_in' : undefined,
  }),
  block: /^gpt_neox\.layers\.\d+/,
  // transformers 5 gave the module the name that other families have; files keep the old one.
  fileName: (name) => name.replace(/^lm_head\./, 'embed_out.'),
})

function gptNeoxConfig(raw: HfConfig): GptNeoxConfig {
  const hiddenSize = raw.int('hidden_size', { min: 1, max: LARGEST.width })
  const heads = raw.int('num_attention_heads', { min: 1, max: LARGEST.width })
  if (hiddenSize % heads !== 0)
    throw raw.fault('num_attention_heads', `is ${heads}, which does not divide hidden_size ${hiddenSize}`)
  raw.require({ is_decoder: false })
  raw.value('classifier_dropout') // of a token classifier's head
  // Names of a draft of the config, in published files still; transformers reads neither.
  raw.value('attention_probs_dropout_prob')
  raw.value('hidden_dropout_prob')
  const headDim = hiddenSize / heads
  const maxPositions = raw.int('max_position_embeddings', { min: 1, default: 2048 })
  const rate = (field: string): number => raw.number(field, { min: 0, max: 1, default: 0 })
  // Their names before transformers 5; `rope_parameters` wins over both.
  const theta = raw.number('rotary_emb_base', { min: Number.MIN_VALUE, default: 10000 })
  const partial = raw.number('rotary_pct', { min: 0, max: 1, default: 0.25 })
  const rope = ropeOf(raw, headDim, maxPositions, { theta, partial })
  return {
    vocabSize: raw.int('vocab_size', { min: 1, max: LARGEST.ids }),
    hiddenSize,
    layers: raw.int('num_hidden_layers', { min: 1, max: LARGEST.layers }),
    heads,
    kvHeads: heads,
    headDim,
    maxPositions,
    tieWordEmbeddings: raw.boolean('tie_word_embeddings', { default: false }),
    initializerRange: raw.number('initializer_range', { min: 0, default: 0.02 }),
    intermediateSize: raw.int('intermediate_size', { min: 1, max: LARGEST.width }),
    activation: activationOf(raw, 'hidden_act', 'gelu'),
    eps: raw.number('layer_norm_eps', { min: 0, default: 1e-5 }),
    rope,
    longFrom: rope.long?.from,
    attentionBias: raw.boolean('attention_bias', { default: true }),
    parallel: raw.boolean('use_parallel_residual', { default: true }),
    attentionDropout: rate('attention_dropout'),
    hiddenDropout: rate('hidden_dropout'),
  }
}

function block(net: Net, c: GptNeoxConfig, x: Node): Node {
  const { g } = net
  const normed = net.layerNorm('input_layernorm', x, c.eps)
  const mixed = net.scope('attention', () => attention(net, c, normed))
  const attended = net.dropout('post_attention_dropout', mixed, c.hiddenDropout)
  const h = g.add(attended, x)
  const normedAgain = net.layerNorm('post_attention_layernorm', c.parallel ? x : h, c.eps)
  const out = net.scope('mlp', () => mlp(net, c, normedAgain))
  return g.add(net.dropout('post_mlp_dropout', out, c.hiddenDropout), h)
}

function attention(net: Net, c: GptNeoxConfig, x: Node): Node {
  const { g } = net
  const [b = 1, s = 1] = x.type.shape
  const qkv = net.linear('query_key_value', x, 3 * c.hiddenSize, { bias: c.attentionBias })
  // Each head's q, k and v stand together.
  const heads = g.transpose(g.reshape(qkv, { shape: [b, s, c.heads, 3 * c.headDim] }), { perm: [0, 2, 1, 3] })
  const part = (i: number): Node => g.slice(heads, { axis: 3, start: i * c.headDim, size: c.headDim })
  const mixed = net.attention({
    q: net.rotary(part(0), c.rope),
    k: net.rotary(part(1), c.rope),
    v: part(2),
    dropout: c.attentionDropout,
  })
  return net.linear('dense', mixed, c.hiddenSize, { bias: c.attentionBias })
}

function mlp(net: Net, c: GptNeoxConfig, x: Node): Node {
  const inner = activate(net.g, c.activation, net.linear('dense_h_to_4h', x, c.intermediateSize, { bias: true }))
  return net.linear('dense_4h_to_h', inner, c.hiddenSize, { bias: true })
}
