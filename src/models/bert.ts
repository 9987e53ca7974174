/**
 * @file BERT (arXiv 1810.04805), and the parts that RoBERTa, ELECTRA and DeBERTa share with it: every sublayer is followed
 * by dropout, residual and LayerNorm. Must not know training, adapters or engines. Fields: transformers `BertConfig`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { type EncoderConfig, encoder, type MaskedHead } from './encoder.ts'
import { LARGEST } from './model.ts'
import type { Net } from './net.ts'

export interface BertConfig extends EncoderConfig {
  /** Where the body's modules stand: `bert`. */
  readonly scope: string
  /** Width of the embeddings; ELECTRA's may be smaller than the hidden state. */
  readonly embeddingSize: number
  readonly innerSize: number
  readonly activation: Activation
  readonly eps: number
  readonly typeVocabSize: number
  /** Rows of the position table before the first token's (RoBERTa). */
  readonly positionOffset: number
  readonly dropout: { readonly hidden: number; readonly attention: number; readonly classifier: number }
}

/** What a family means where its config says nothing. */
export interface BertDefaults {
  readonly scope: string
  readonly vocabSize: number
  readonly hiddenSize?: number
  readonly heads?: number
  readonly innerSize?: number
  readonly eps?: number
  readonly typeVocabSize?: number
}

/** The fields that the families of this body read alike. */
export function bertFields(raw: HfConfig, defaults: BertDefaults): BertConfig {
  raw.require({ is_decoder: false, add_cross_attention: false, position_embedding_type: 'absolute' })
  const hiddenSize = raw.int('hidden_size', { min: 1, max: LARGEST.width, default: defaults.hiddenSize ?? 768 })
  const heads = raw.int('num_attention_heads', { min: 1, default: defaults.heads ?? 12 })
  const rate = (field: string): number => raw.number(field, { min: 0, max: 1, default: 0.1 })
  const hidden = rate('hidden_dropout_prob')
  const typeVocabSize = raw.int('type_vocab_size', { min: 0, max: LARGEST.ids, default: defaults.typeVocabSize ?? 2 })
  return {
    scope: defaults.scope,
    vocabSize: raw.int('vocab_size', { min: 1, max: LARGEST.ids, default: defaults.vocabSize }),
    hiddenSize,
    embeddingSize: hiddenSize,
    layers: raw.int('num_hidden_layers', { min: 1, max: LARGEST.layers, default: 12 }),
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    maxPositions: raw.int('max_position_embeddings', { min: 1, max: LARGEST.ids, default: 512 }),
    tieWordEmbeddings: raw.boolean('tie_word_embeddings', { default: true }),
    initializerRange: raw.number('initializer_range', { min: 0, default: 0.02 }),
    innerSize: raw.int('intermediate_size', { min: 1, max: LARGEST.width, default: defaults.innerSize ?? 3072 }),
    activation: activationOf(raw, 'hidden_act', 'gelu'),
    eps: raw.number('layer_norm_eps', { min: 0, default: defaults.eps ?? 1e-12 }),
    typeVocabSize,
    tokenTypes: typeVocabSize,
    positionOffset: 0,
    dropout: {
      hidden,
      attention: rate('attention_probs_dropout_prob'),
      classifier: raw.number('classifier_dropout', { min: 0, max: 1, default: hidden }),
    },
  }
}

export function bertBody(net: Net, c: BertConfig, ids: Node): Node {
  let h = net.scope(`${c.scope}.embeddings`, () => embeddings(net, c, ids))
  if (c.embeddingSize !== c.hiddenSize) h = net.linear(`${c.scope}.embeddings_project`, h, c.hiddenSize, { bias: true })
  for (let layer = 0; layer < c.layers; layer++)
    h = net.scope(`${c.scope}.encoder.layer.${layer}`, () => bertLayer(net, c, h, () => selfAttention(net, c, h)))
  return h
}

function embeddings(net: Net, c: BertConfig, ids: Node): Node {
  const { g } = net
  const words = net.embedding('word_embeddings', ids, c.vocabSize, c.embeddingSize, 'input')
  const places = net.embedding(
    'position_embeddings',
    c.positionOffset === 0 ? net.inputs.positions : g.add(net.inputs.positions, offset(net, c.positionOffset)),
    c.maxPositions + c.positionOffset,
    c.embeddingSize,
  )
  const types = tokenTypes(net, c, ids)
  const sum = g.add(types ? g.add(words, types) : words, places)
  return net.dropout('dropout', net.layerNorm('LayerNorm', sum, c.eps), c.dropout.hidden)
}

const offset = (net: Net, value: number): Node => net.g.constant({ dtype: 'i64', shape: [], values: [value] })

/** Embeddings of the token types; all tokens are of the first where data give none. */
export function tokenTypes(net: Net, c: BertConfig, ids: Node): Node | undefined {
  if (c.typeVocabSize === 0) return undefined
  const given = c.tokenTypes > 0 ? net.inputs.tokenTypes : undefined
  const types = given ?? net.g.expand(offset(net, 0), { shape: ids.type.shape })
  return net.embedding('token_type_embeddings', types, c.typeVocabSize, c.embeddingSize)
}

/** A layer around whatever its `self` module computes. */
export function bertLayer(
  net: Net,
  c: Pick<BertConfig, 'hiddenSize' | 'innerSize' | 'activation' | 'eps' | 'dropout'>,
  x: Node,
  self: () => Node,
): Node {
  const after = (module: string, inner: Node, residual: Node): Node =>
    net.scope(module, () => {
      const out = net.dropout('dropout', net.linear('dense', inner, c.hiddenSize, { bias: true }), c.dropout.hidden)
      const norm = (h: Node): Node => net.layerNorm('LayerNorm', h, c.eps)
      const place = module === 'output' ? 'feedForward' : 'attention'
      return norm(net.g.add(net.sublayer('', place, { out, residual, norm }), residual))
    })
  const mixed = net.scope('attention.self', self)
  const h = after('attention.output', mixed, x)
  const inner = net.linear('intermediate.dense', h, c.innerSize, { bias: true })
  return after('output', activate(net.g, c.activation, inner), h)
}

function selfAttention(net: Net, c: BertConfig, x: Node): Node {
  const heads = (name: string): Node => net.splitHeads(net.linear(name, x, c.hiddenSize, { bias: true }), c.heads)
  const [q, k, v] = [heads('query'), heads('key'), heads('value')]
  return net.attention({ q, k, v, bidirectional: true, dropout: c.dropout.attention })
}

/** One linear layer over what precedes it, with dropout between (`classifier`). */
export function labelLayer(net: Net, x: Node, labels: number, rate: number): Node {
  const kept = net.dropout('dropout', x, rate)
  return net.linear('classifier', kept, labels, { bias: true, isTaskHead: true })
}

/** dense → activation → out_proj, dropout before each linear layer, under `classifier` (RoBERTa, ELECTRA). */
export function denseHead(net: Net, c: BertConfig, x: Node, labels: number, activation: Activation): Node {
  const options = { bias: true, isTaskHead: true }
  return net.scope('classifier', () => {
    const inner = net.linear('dense', net.dropout('dropout', x, c.dropout.classifier), c.hiddenSize, options)
    const kept = net.dropout('dropout.1', activate(net.g, activation, inner), c.dropout.classifier)
    return net.linear('out_proj', kept, labels, options)
  })
}

/** BERT's head over the vocabulary, which DeBERTa has too. */
export const bertMaskedHead: MaskedHead<BertConfig> = {
  transform: (net, c, rows) =>
    net.scope('cls.predictions.transform', () => {
      const inner = activate(net.g, c.activation, net.linear('dense', rows, c.embeddingSize, { bias: true }))
      return net.layerNorm('LayerNorm', inner, c.eps)
    }),
  output: (c) => ({
    path: 'cls.predictions.decoder',
    vocabSize: c.vocabSize,
    bias: true,
    biasOf: 'cls.predictions',
    tiedTo: tiedWords(c),
  }),
}

export function tiedWords(c: Pick<BertConfig, 'tieWordEmbeddings' | 'scope'>): string | undefined {
  return c.tieWordEmbeddings ? `${c.scope}.embeddings.word_embeddings` : undefined
}

export const bert = encoder<BertConfig>({
  classes: { bert: 'Bert' },
  prefix: 'bert',
  config: (raw) => bertFields(raw, { scope: 'bert', vocabSize: 30522 }),
  body: bertBody,
  sequenceHead(net, c, rows, labels) {
    const pooled = net.g.tanh(net.linear('bert.pooler.dense', rows, c.hiddenSize, { bias: true }))
    return labelLayer(net, pooled, labels, c.dropout.classifier)
  },
  tokenHead: (net, c, rows, labels) => labelLayer(net, rows, labels, c.dropout.classifier),
  maskedHead: bertMaskedHead,
  block: /^bert\.encoder\.layer\.\d+/,
})
