/**
 * @file OPT (arXiv 2205.01068): learned positions that start at 2, norms before or after each sublayer, embeddings that
 * may be narrower than the layers. Fields: transformers `OPTConfig`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { type CommonConfig, causalLM, LARGEST } from './causal-lm.ts'
import type { Net } from './net.ts'

/** The first two rows of the position table stand for padding, in the original code's numbering. */
const FIRST_POSITION = 2
/** nn.LayerNorm's own; the config has none. */
const EPS = 1e-5

interface OptConfig extends CommonConfig {
  readonly innerSize: number
  readonly embeddingWidth: number
  readonly activation: Activation
  readonly bias: boolean
  readonly normsFirst: boolean
  readonly finalNorm: boolean
  /** Norms have weights. */
  readonly affine: boolean
  readonly dropout: number
  readonly attentionDropout: number
}

export const opt = causalLM<OptConfig>({
  modelTypes: ['opt'],
  prefix: 'model',
  config: optConfig,
  body: (net, c, ids) => net.scope('model.decoder', () => decoder(net, c, ids)),
  head: (c) => ({
    path: 'lm_head',
    vocabSize: c.vocabSize,
    tiedTo: c.tieWordEmbeddings ? 'model.decoder.embed_tokens' : undefined,
  }),
  block: /^model\.decoder\.layers\.\d+/,
})

function optConfig(raw: HfConfig): OptConfig {
  const hiddenSize = raw.int('hidden_size', { min: 1, max: LARGEST.width, default: 768 })
  const heads = raw.int('num_attention_heads', { min: 1, default: 12 })
  if (hiddenSize % heads !== 0)
    throw raw.fault('num_attention_heads', `is ${heads}, which does not divide hidden_size ${hiddenSize}`)
  raw.require({ layerdrop: 0, learned_embeddings: true, scale_embeddings: false })
  raw.value('activation_dropout') // named in the config, applied nowhere by transformers
  const normsFirst = raw.boolean('do_layer_norm_before', { default: true })
  return {
    vocabSize: raw.int('vocab_size', { min: 1, max: LARGEST.ids, default: 50272 }),
    hiddenSize,
    layers: raw.int('num_hidden_layers', { min: 1, max: LARGEST.layers, default: 12 }),
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    maxPositions: raw.int('max_position_embeddings', { min: 1, max: LARGEST.ids, default: 2048 }),
    tieWordEmbeddings: raw.boolean('tie_word_embeddings', { default: true }),
    initializerRange: raw.number('init_std', { min: 0, default: 0.02 }),
    innerSize: raw.int('ffn_dim', { min: 1, max: LARGEST.width, default: 3072 }),
    embeddingWidth: raw.int('word_embed_proj_dim', { min: 1, max: LARGEST.width, default: hiddenSize }),
    activation: activationOf(raw, 'activation_function', 'relu'),
    bias: raw.boolean('enable_bias', { default: true }),
    normsFirst,
    finalNorm: !raw.boolean('_remove_final_layer_norm', { default: false }) && normsFirst,
    affine: raw.boolean('layer_norm_elementwise_affine', { default: true }),
    dropout: raw.number('dropout', { min: 0, max: 1, default: 0.1 }),
    attentionDropout: raw.number('attention_dropout', { min: 0, max: 1, default: 0 }),
  }
}

function decoder(net: Net, c: OptConfig, ids: Node): Node {
  const { g } = net
  const projects = c.embeddingWidth !== c.hiddenSize
  const tokens = net.embedding('embed_tokens', ids, c.vocabSize, c.embeddingWidth, 'input')
  const offset = g.constant({ dtype: 'i64', shape: [], values: [FIRST_POSITION] })
  const positions = g.add(net.inputs.positions, offset)
  const places = net.embedding('embed_positions', positions, c.maxPositions + FIRST_POSITION, c.hiddenSize)
  let h = g.add(projects ? net.linear('project_in', tokens, c.hiddenSize) : tokens, places)
  for (let layer = 0; layer < c.layers; layer++) h = net.scope(`layers.${layer}`, () => block(net, c, h))
  if (c.finalNorm) h = norm(net, c, 'final_layer_norm', h)
  return projects ? net.linear('project_out', h, c.embeddingWidth) : h
}

function norm(net: Net, { affine }: OptConfig, name: string, x: Node): Node {
  return net.layerNorm(name, x, EPS, { affine })
}

function block(net: Net, c: OptConfig, x: Node): Node {
  const attended = sublayer(net, c, 'self_attn_layer_norm', x, (h) =>
    net.scope('self_attn', () => attention(net, c, h)),
  )
  return sublayer(net, c, 'final_layer_norm', attended, (h) => {
    const inner = activate(net.g, c.activation, net.linear('fc1', h, c.innerSize, { bias: c.bias }))
    return net.linear('fc2', inner, c.hiddenSize, { bias: c.bias })
  })
}

/** x plus what `body` makes of it, normed before or after. */
function sublayer(net: Net, c: OptConfig, name: string, x: Node, body: (h: Node) => Node): Node {
  const out = net.dropout(`${name}.dropout`, body(c.normsFirst ? norm(net, c, name, x) : x), c.dropout)
  const sum = net.g.add(x, out)
  return c.normsFirst ? sum : norm(net, c, name, sum)
}

function attention(net: Net, c: OptConfig, x: Node): Node {
  const part = (name: string): Node => net.splitHeads(net.linear(name, x, c.hiddenSize, { bias: c.bias }), c.heads)
  const [q, k, v] = [part('q_proj'), part('k_proj'), part('v_proj')]
  return net.linear('out_proj', net.attention({ q, k, v, dropout: c.attentionDropout }), c.hiddenSize, { bias: c.bias })
}
