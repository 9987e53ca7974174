/**
 * @file Llama (arXiv 2302.13971) and the body that Mistral, Qwen and Gemma share.
 * Must not know training, adapters or engines. Source of the fields: transformers `LlamaConfig`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { type CommonConfig, causalLM, LARGEST } from './causal-lm.ts'
import type { Head, Net } from './net.ts'
import { type Rope, type RopeOptions, ropeOf } from './rope.ts'

export interface LlamaConfig extends CommonConfig {
  readonly intermediateSize: number
  readonly activation: Activation
  readonly rmsNormEps: number
  readonly rope: Rope
  readonly qkvBias: boolean
  readonly outputBias: boolean
  readonly mlpBias: boolean
  readonly attentionDropout: number
  /** Window of each layer's attention; undefined where it sees everything before it. */
  readonly window: (layer: number) => number | undefined
  /** RMSNorm of each head's queries and keys before they are turned (Qwen 3). */
  readonly qkNorm?: boolean
  /** Norms hold their weight less one (Gemma). */
  readonly plusOne?: boolean
  /** Factor on the embedded tokens (Gemma). */
  readonly embeddingScale?: number
}

/** What a family means where its config says nothing. */
export interface LlamaDefaults {
  /** @default hidden size / heads */
  readonly headDim?: number
  readonly activation?: Activation
  readonly activationField?: string
  readonly tieWordEmbeddings?: boolean
  readonly rope?: RopeOptions
  readonly rmsNormEps?: number
}

/** The fields that the families of this body read alike. */
export function llamaFields(
  raw: HfConfig,
  defaults: LlamaDefaults = {},
): Omit<LlamaConfig, 'qkvBias' | 'outputBias' | 'mlpBias' | 'window'> {
  const { headDim, maxPositions, ...shape } = llamaShape(raw, defaults)
  const rope = ropeOf(raw, headDim, maxPositions, defaults.rope)
  return { ...shape, headDim, maxPositions, rope, longFrom: rope.long?.from }
}

/** The same without positions, which some families have by layer. */
export function llamaShape(
  raw: HfConfig,
  defaults: LlamaDefaults,
): Omit<LlamaConfig, 'qkvBias' | 'outputBias' | 'mlpBias' | 'window' | 'rope'> {
  const hiddenSize = raw.int('hidden_size', { min: 1, max: LARGEST.width })
  const heads = raw.int('num_attention_heads', { min: 1, max: LARGEST.width })
  if (!raw.has('head_dim') && defaults.headDim === undefined && hiddenSize % heads !== 0) {
    throw raw.fault('num_attention_heads', `is ${heads}, which does not divide hidden_size ${hiddenSize}`)
  }
  const headDim = raw.int('head_dim', { min: 2, max: LARGEST.width, default: defaults.headDim ?? hiddenSize / heads })
  const maxPositions = raw.int('max_position_embeddings', { min: 1, default: 2048 })
  raw.require({ pretraining_tp: 1, rope_interleaved: false })
  return {
    vocabSize: raw.int('vocab_size', { min: 1, max: LARGEST.ids }),
    hiddenSize,
    layers: raw.int('num_hidden_layers', { min: 1, max: LARGEST.layers }),
    heads,
    kvHeads: raw.int('num_key_value_heads', { min: 1, default: heads }),
    headDim,
    maxPositions,
    tieWordEmbeddings: raw.boolean('tie_word_embeddings', { default: defaults.tieWordEmbeddings ?? false }),
    initializerRange: raw.number('initializer_range', { min: 0, default: 0.02 }),
    intermediateSize: raw.int('intermediate_size', { min: 1, max: LARGEST.width }),
    activation: activationOf(raw, defaults.activationField ?? 'hidden_act', defaults.activation ?? 'silu'),
    rmsNormEps: raw.number('rms_norm_eps', { min: 0, default: defaults.rmsNormEps ?? 1e-6 }),
    attentionDropout: raw.number('attention_dropout', { min: 0, max: 1, default: 0 }),
  }
}

export function llamaBody(net: Net, c: LlamaConfig, ids: Node): Node {
  let h = embedTokens(net, c, ids)
  for (let layer = 0; layer < c.layers; layer++) h = net.scope(`model.layers.${layer}`, () => block(net, c, h, layer))
  return llamaNorm(net, c, 'model.norm', h)
}

export function embedTokens(net: Net, c: CommonConfig & Pick<LlamaConfig, 'embeddingScale'>, ids: Node): Node {
  const h = net.embedding('model.embed_tokens', ids, c.vocabSize, c.hiddenSize, 'input')
  return c.embeddingScale === undefined ? h : net.g.mul(h, c.embeddingScale)
}

export function llamaNorm(net: Net, c: Pick<LlamaConfig, 'plusOne' | 'rmsNormEps'>, name: string, x: Node): Node {
  return net.rmsNorm(name, x, c.rmsNormEps, { plusOne: c.plusOne ?? false })
}

function block(net: Net, c: LlamaConfig, x: Node, layer: number): Node {
  const { g } = net
  const normed = llamaNorm(net, c, 'input_layernorm', x)
  const h = g.add(
    x,
    net.scope('self_attn', () => attention(net, c, normed, layer)),
  )
  const normedAgain = llamaNorm(net, c, 'post_attention_layernorm', h)
  return g.add(
    h,
    net.scope('mlp', () => llamaMlp(net, c, normedAgain)),
  )
}

function attention(net: Net, c: LlamaConfig, x: Node, layer: number): Node {
  const kvWidth = c.kvHeads * c.headDim
  const q = net.splitHeads(net.linear('q_proj', x, c.heads * c.headDim, { bias: c.qkvBias }), c.heads)
  const k = net.splitHeads(net.linear('k_proj', x, kvWidth, { bias: c.qkvBias }), c.kvHeads)
  const v = net.splitHeads(net.linear('v_proj', x, kvWidth, { bias: c.qkvBias }), c.kvHeads)
  const normed = (name: string, heads: Node): Node => (c.qkNorm ? llamaNorm(net, c, name, heads) : heads)
  const mixed = net.attention({
    q: net.rotary(normed('q_norm', q), c.rope),
    k: net.rotary(normed('k_norm', k), c.rope),
    v,
    window: c.window(layer),
    dropout: c.attentionDropout,
  })
  return net.linear('o_proj', mixed, c.hiddenSize, { bias: c.outputBias })
}

export function llamaMlp(
  net: Net,
  c: Pick<LlamaConfig, 'activation' | 'hiddenSize' | 'intermediateSize' | 'mlpBias'>,
  x: Node,
): Node {
  const gate = activate(net.g, c.activation, net.linear('gate_proj', x, c.intermediateSize, { bias: c.mlpBias }))
  const up = net.linear('up_proj', x, c.intermediateSize, { bias: c.mlpBias })
  return net.linear('down_proj', net.g.mul(gate, up), c.hiddenSize, { bias: c.mlpBias })
}

export function llamaHead(c: CommonConfig): Head {
  const tiedTo = c.tieWordEmbeddings ? 'model.embed_tokens' : undefined
  return { path: 'lm_head', vocabSize: c.vocabSize, tiedTo }
}

/** Everything but the config, which each `model_type` reads in its own file. */
export const llamaFamily = {
  prefix: 'model',
  body: llamaBody,
  head: llamaHead,
  block: /^model\.layers\.\d+/,
}

export const llama = causalLM<LlamaConfig>({
  ...llamaFamily,
  modelTypes: ['llama'],
  config(raw) {
    const attentionBias = raw.boolean('attention_bias', { default: false })
    return {
      ...llamaFields(raw),
      qkvBias: attentionBias,
      outputBias: attentionBias,
      mlpBias: raw.boolean('mlp_bias', { default: false }),
      window: () => undefined,
    }
  },
})
