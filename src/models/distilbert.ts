/**
 * @file DistilBERT (arXiv 1910.01108): BERT's layers under other names, without token types or pooler.
 * Must not know training, adapters or engines. Source of the fields: transformers `DistilBertConfig`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { labelLayer } from './bert.ts'
import { type EncoderConfig, encoder } from './encoder.ts'
import { LARGEST } from './model.ts'
import type { Sublayer } from './modules.ts'
import type { Net } from './net.ts'

interface DistilBertConfig extends EncoderConfig {
  readonly innerSize: number
  readonly activation: Activation
  readonly dropout: { readonly hidden: number; readonly attention: number; readonly classifier: number }
}

/** Fixed in the architecture, whatever a config says. */
const EPS = 1e-12

export const distilbert = encoder<DistilBertConfig>({
  classes: { distilbert: 'DistilBert' },
  prefix: 'distilbert',
  config: distilbertConfig,
  body(net, c, ids) {
    let h = net.scope('distilbert.embeddings', () => {
      const words = net.embedding('word_embeddings', ids, c.vocabSize, c.hiddenSize, 'input')
      const places = net.embedding('position_embeddings', net.inputs.positions, c.maxPositions, c.hiddenSize)
      return net.dropout('dropout', net.layerNorm('LayerNorm', net.g.add(words, places), EPS), c.dropout.hidden)
    })
    for (let layer = 0; layer < c.layers; layer++)
      h = net.scope(`distilbert.transformer.layer.${layer}`, () => block(net, c, h))
    return h
  },
  sequenceHead(net, c, rows, labels) {
    const inner = net.g.relu(net.linear('pre_classifier', rows, c.hiddenSize, { bias: true, isTaskHead: true }))
    return labelLayer(net, inner, labels, c.dropout.classifier)
  },
  tokenHead: (net, c, rows, labels) => labelLayer(net, rows, labels, c.dropout.hidden),
  maskedHead: {
    transform(net, c, rows) {
      const inner = activate(net.g, c.activation, net.linear('vocab_transform', rows, c.hiddenSize, { bias: true }))
      return net.layerNorm('vocab_layer_norm', inner, EPS)
    },
    output: (c) => ({
      path: 'vocab_projector',
      vocabSize: c.vocabSize,
      bias: true,
      tiedTo: c.tieWordEmbeddings ? 'distilbert.embeddings.word_embeddings' : undefined,
    }),
  },
  block: /^distilbert\.transformer\.layer\.\d+/,
})

function distilbertConfig(raw: HfConfig): DistilBertConfig {
  const hiddenSize = raw.int('dim', { min: 1, max: LARGEST.width, default: 768 })
  const heads = raw.int('n_heads', { min: 1, default: 12 })
  raw.value('sinusoidal_pos_embds') // how the table began; it stands in the file
  raw.value('qa_dropout')
  raw.value('tie_weights_') // of files older than tie_word_embeddings
  const rate = (field: string, fallback: number): number => raw.number(field, { min: 0, max: 1, default: fallback })
  return {
    vocabSize: raw.int('vocab_size', { min: 1, max: LARGEST.ids, default: 30522 }),
    hiddenSize,
    layers: raw.int('n_layers', { min: 1, max: LARGEST.layers, default: 6 }),
    heads,
    kvHeads: heads,
    headDim: hiddenSize / heads,
    maxPositions: raw.int('max_position_embeddings', { min: 1, max: LARGEST.ids, default: 512 }),
    tieWordEmbeddings: raw.boolean('tie_word_embeddings', { default: true }),
    initializerRange: raw.number('initializer_range', { min: 0, default: 0.02 }),
    tokenTypes: 0,
    innerSize: raw.int('hidden_dim', { min: 1, max: LARGEST.width, default: 3072 }),
    activation: activationOf(raw, 'activation', 'gelu'),
    dropout: {
      hidden: rate('dropout', 0.1),
      attention: rate('attention_dropout', 0.1),
      classifier: rate('seq_classif_dropout', 0.2),
    },
  }
}

function block(net: Net, c: DistilBertConfig, x: Node): Node {
  const { g } = net
  const mixed = net.scope('attention', () => attention(net, c, x))
  const after = (name: string, place: Sublayer['place'], normName: string, out: Node, residual: Node): Node => {
    const norm = (sum: Node): Node => net.layerNorm(normName, sum, EPS)
    return norm(g.add(net.sublayer(name, place, { out, residual, norm }), residual))
  }
  const h = after('attention_adapters', 'attention', 'sa_layer_norm', mixed, x)
  const out = net.scope('ffn', () => {
    const inner = activate(g, c.activation, net.linear('lin1', h, c.innerSize, { bias: true }))
    return net.dropout('dropout', net.linear('lin2', inner, c.hiddenSize, { bias: true }), c.dropout.hidden)
  })
  return after('output_adapters', 'feedForward', 'output_layer_norm', out, h)
}

function attention(net: Net, c: DistilBertConfig, x: Node): Node {
  const heads = (name: string): Node => net.splitHeads(net.linear(name, x, c.hiddenSize, { bias: true }), c.heads)
  const [q, k, v] = [heads('q_lin'), heads('k_lin'), heads('v_lin')]
  const mixed = net.attention({ q, k, v, bidirectional: true, dropout: c.dropout.attention })
  return net.linear('out_lin', mixed, c.hiddenSize, { bias: true })
}
