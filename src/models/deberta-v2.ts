/**
 * @file DeBERTa v2 and v3 (arXiv 2006.03654, 2111.09543): scores of contents, plus those of a content with a relative
 * position in either direction. Must not know training, adapters or engines. Fields: transformers `DebertaV2Config`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Task } from '../formats/task.ts'
import type { Node } from '../graph/types.ts'
import { invariant } from '../support/errors.ts'
import { mulDims } from '../tensor/dim.ts'
import { type Activation, activate, activationOf } from './activation.ts'
import { type BertConfig, bertFields, bertLayer, bertMaskedHead, labelLayer, tokenTypes } from './bert.ts'
import { encoder } from './encoder.ts'
import { LARGEST } from './model.ts'
import type { Net } from './net.ts'

interface DebertaConfig extends BertConfig {
  /** Absent where a model has absolute positions alone. */
  readonly relative: Relative | undefined
  readonly absolutePositions: boolean
  readonly pooler: { readonly activation: Activation; readonly dropout: number }
}

interface Relative {
  /** Half the rows of the table of relative positions. */
  readonly span: number
  /** Row of the table for each distance from −(maxPositions − 1) to maxPositions − 1. */
  readonly rows: readonly number[]
  readonly contentToPosition: boolean
  readonly positionToContent: boolean
  /** Positions are projected by the layers that project contents. */
  readonly sharesProjections: boolean
  readonly normed: boolean
}

export const debertaV2 = encoder<DebertaConfig>({
  classes: { 'deberta-v2': 'DebertaV2' },
  prefix: 'deberta',
  config: debertaConfig,
  body(net, c, ids) {
    let h = net.scope('deberta.embeddings', () => embeddings(net, c, ids))
    const positions = net.scope('deberta.encoder', () => relativePositions(net, c))
    for (let layer = 0; layer < c.layers; layer++)
      h = net.scope(`deberta.encoder.layer.${layer}`, () =>
        bertLayer(net, c, h, () => selfAttention(net, c, h, positions)),
      )
    return h
  },
  sequenceHead(net, c, rows, labels) {
    const kept = net.dropout('pooler.dropout', rows, c.pooler.dropout)
    const inner = net.linear('pooler.dense', kept, c.hiddenSize, { bias: true })
    return labelLayer(net, activate(net.g, c.pooler.activation, inner), labels, c.dropout.classifier)
  },
  tokenHead: (net, c, rows, labels) => labelLayer(net, rows, labels, c.dropout.hidden),
  maskedHead: bertMaskedHead,
  block: /^deberta\.encoder\.layer\.\d+/,
})

function debertaConfig(raw: HfConfig, task: Task): DebertaConfig {
  raw.require({ conv_kernel_size: 0, attention_head_size: null })
  for (const field of ['conv_act', 'conv_groups']) raw.value(field)
  // Another head over the vocabulary; a classifier of such a model has none.
  if (task === 'masked-lm') raw.require({ legacy: true })
  else raw.value('legacy')
  const fields = bertFields(raw, {
    scope: 'deberta',
    vocabSize: 128100,
    hiddenSize: 1536,
    heads: 24,
    innerSize: 6144,
    eps: 1e-7,
    typeVocabSize: 0,
  })
  raw.require({ pooler_hidden_size: fields.hiddenSize })
  return {
    ...fields,
    embeddingSize: raw.int('embedding_size', { min: 1, max: LARGEST.width, default: fields.hiddenSize }),
    relative: relativeOf(raw, fields.maxPositions),
    absolutePositions: raw.boolean('position_biased_input', { default: true }),
    pooler: {
      activation: activationOf(raw, 'pooler_hidden_act', 'gelu'),
      dropout: raw.number('pooler_dropout', { min: 0, max: 1, default: 0 }),
    },
    dropout: {
      ...fields.dropout,
      classifier: raw.number('cls_dropout', { min: 0, max: 1, default: fields.dropout.hidden }),
    },
  }
}

function relativeOf(raw: HfConfig, maxPositions: number): Relative | undefined {
  const isRelative = raw.boolean('relative_attention', { default: false })
  const asked = raw.int('max_relative_positions', { default: -1 })
  const buckets = raw.int('position_buckets', { default: -1, max: LARGEST.ids })
  const named = raw.value('pos_att_type')
  const kinds = (Array.isArray(named) ? named.map(String) : String(named ?? '').split('|')).map((kind) => kind.trim())
  const unknown = kinds.find((kind) => kind !== '' && kind !== 'c2p' && kind !== 'p2c')
  if (unknown !== undefined) throw raw.fault('pos_att_type', `has ${unknown}; lowrank knows c2p and p2c`)
  const norms = raw.string('norm_rel_ebd', { default: 'none' }).toLowerCase().split('|')
  const sharesProjections = raw.boolean('share_att_key', { default: false })
  if (!isRelative) return undefined
  const longest = asked < 1 ? maxPositions : asked
  const span = buckets > 0 ? buckets : longest
  const distances = Array.from({ length: 2 * maxPositions - 1 }, (_, i) => i - (maxPositions - 1))
  return {
    span,
    rows: distances.map((d) => clamp((buckets > 0 ? bucketOf(d, buckets, longest) : d) + span, 2 * span - 1)),
    contentToPosition: kinds.includes('c2p'),
    positionToContent: kinds.includes('p2c'),
    sharesProjections,
    normed: norms.some((name) => name.trim() === 'layer_norm'),
  }
}

const clamp = (value: number, most: number): number => Math.max(0, Math.min(most, value))

/** Near distances one by one, farther ones by their logarithm; in f32 as `make_log_bucket_position` counts. */
function bucketOf(distance: number, buckets: number, longest: number): number {
  const middle = Math.floor(buckets / 2)
  const far = Math.abs(distance)
  if (far <= middle) return distance
  const f = Math.fround
  const ratio = f(f(Math.log(f(far / middle))) / f(Math.log(f((longest - 1) / middle))))
  return Math.sign(distance) * (Math.ceil(f(ratio * (middle - 1))) + middle)
}

function embeddings(net: Net, c: DebertaConfig, ids: Node): Node {
  const { g } = net
  let sum = net.embedding('word_embeddings', ids, c.vocabSize, c.embeddingSize, 'input')
  if (c.absolutePositions)
    sum = g.add(sum, net.embedding('position_embeddings', net.inputs.positions, c.maxPositions, c.embeddingSize))
  const types = tokenTypes(net, c, ids)
  if (types) sum = g.add(sum, types)
  if (c.embeddingSize !== c.hiddenSize) sum = net.linear('embed_proj', sum, c.hiddenSize)
  return net.dropout('dropout', net.layerNorm('LayerNorm', sum, c.eps), c.dropout.hidden)
}

/** The table of relative positions, `f32[1, 2·span, hidden]`, and which of its rows stands between two tokens. */
interface Positions extends Relative {
  readonly table: Node
  /** One-hot, `f32[seq, seq, 2·span]`: from the token of the row to that of the column. */
  readonly chosen: Node
}

function relativePositions(net: Net, c: DebertaConfig): Positions | undefined {
  const { g } = net
  const { relative } = c
  if (!relative) return undefined
  const count = 2 * relative.span
  const numbers = (values: readonly number[]): Node => g.constant({ dtype: 'i64', shape: [values.length], values })
  const all = net.embedding('rel_embeddings', numbers(Array.from({ length: count }, (_, i) => i)), count, c.hiddenSize)
  const table = relative.normed ? net.layerNorm('LayerNorm', all, c.eps) : all
  const { columns } = net.inputs
  invariant(columns, 'relative positions need the numbers of the columns')
  // Inside a sample columns are as far apart as positions, and across samples nothing is seen.
  const seq = columns.type.shape[0] ?? 1
  const apart = g.sub(g.reshape(columns, { shape: [seq, 1] }), g.reshape(columns, { shape: [1, seq] }))
  const shift = g.constant({ dtype: 'i64', shape: [], values: [c.maxPositions - 1] })
  const rows = g.gather(numbers(relative.rows), g.add(apart, shift))
  return {
    ...relative,
    table: g.reshape(table, { shape: [1, count, c.hiddenSize] }),
    chosen: g.oneHot(rows, { depth: count }),
  }
}

function selfAttention(net: Net, c: DebertaConfig, x: Node, positions: Positions | undefined): Node {
  const project = (name: string, of: Node): Node =>
    net.splitHeads(net.linear(name, of, c.hiddenSize, { bias: true }), c.heads)
  const [q, k, v] = [project('query_proj', x), project('key_proj', x), project('value_proj', x)]
  const kinds = Number(positions?.contentToPosition ?? 0) + Number(positions?.positionToContent ?? 0)
  const scale = (c.headDim * (1 + kinds)) ** -0.5
  const added = positions && positionScores(net, c, positions, project, { q, k, scale })
  return net.attention({ q, k, v, scale, added, bidirectional: true, dropout: c.dropout.attention })
}

/** Scores of contents with positions, `f32[batch, heads, seq, seq]`. */
function positionScores(
  net: Net,
  c: DebertaConfig,
  { table, chosen, contentToPosition, positionToContent, sharesProjections }: Positions,
  project: (name: string, of: Node) => Node,
  { q, k, scale }: { q: Node; k: Node; scale: number },
): Node | undefined {
  const { g } = net
  const kept = net.dropout('pos_dropout', table, c.dropout.hidden)
  const scores: Node[] = []
  if (contentToPosition) {
    const keys = project(sharesProjections ? 'key_proj' : 'pos_key_proj', kept)
    scores.push(picked(net, g.matmul(q, keys, { transB: true, alpha: scale }), chosen))
  }
  if (positionToContent) {
    const queries = project(sharesProjections ? 'query_proj' : 'pos_query_proj', kept)
    const byKey = g.matmul(k, queries, { transB: true, alpha: scale })
    const turned = picked(net, byKey, g.transpose(chosen, { perm: [1, 0, 2] }))
    scores.push(g.transpose(turned, { perm: [0, 1, 3, 2] }))
  }
  return scores.reduce<Node | undefined>((sum, score) => (sum ? g.add(sum, score) : score), undefined)
}

/**
 * Of each token's scores with every relative position, those with the positions of the others: `f32[b, h, s, 2·span]` and
 * one-hot rows `f32[s, s, 2·span]` → `f32[b, h, s, s]`, as a product a token, which has a gradient that is one too.
 */
function picked(net: Net, scores: Node, chosen: Node): Node {
  const { g } = net
  const [b = 1, h = 1, s = 1, count = 1] = scores.type.shape
  const byToken = g.reshape(g.transpose(scores, { perm: [2, 0, 1, 3] }), { shape: [s, mulDims(b, h), count] })
  const found = g.matmul(byToken, chosen, { transB: true })
  return g.transpose(g.reshape(found, { shape: [s, b, h, s] }), { perm: [1, 2, 0, 3] })
}
