/**
 * @file The graph of reading texts: one pass of a base over a batch, and what is made of it: scores of the labels of each
 * seat's head, or a vector a text. Must not know engines or text.
 */
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import { createNet, type NetInputs } from '../models/net.ts'
import { newBuilder } from '../ops/index.ts'
import { type Attached, attach, type ByToken } from '../peft/attach.ts'
import { invariant } from '../support/errors.ts'
import { mulDims } from '../tensor/dim.ts'
import { activeOf, rowWeightOf } from './decode-graph.ts'
import { attachLoaded } from './loaded-adapter.ts'
import type { Seat } from './seat.ts'

/** `labels`: what the heads say. `mean`, `cls`: a vector a text, of the last hidden state of all its tokens or its first. */
export type Wanted = 'labels' | 'mean' | 'cls'

/** Name of the output with a seat's scores: `f32[batch, labels]`, of token classifiers `f32[batch, seq, labels]`. */
export function scoresOf(seat: string): string {
  return `scores.${seat}`
}

/** Name of the output with a vector a text, `f32[batch, hidden]`. */
export const VECTORS = 'vectors'

/**
 * Feeds: those that the model reads (`ids, positions, segments, tokenTypes: i64[batch, seq]`, `columns: i64[seq]`),
 * `firstRows: i64[batch]` = row · seq where one token tells a text, `active.SEAT: f32[batch, seq]` of activated adapters,
 * and where there are several seats `rowWeight.SEAT: f32[batch]`, 1 in the rows of that seat and 0 in others.
 * @param seats several only where none needs a batch of its own
 */
export function buildReading(seats: readonly Seat[], wanted: Wanted): Graph {
  const g = newBuilder()
  const inputs = gridFeeds(g)
  const firstRows = g.feed('firstRows', { dtype: 'i64', shape: ['batch'] })
  const [first] = seats
  invariant(first, 'a graph of reading needs a seat')
  const frozen = (name: string, shape: readonly number[]): Node => g.weight(name, shape)
  const byRow = seats.length > 1
  const attached = seats.flatMap((seat) => attachedOf(g, seat, byRow, firstRows))
  const ids = g.feed('ids', { dtype: 'i64', shape: ['batch', 'seq'] })
  const states = first.model.hidden(createNet(g, inputs, attach(g, frozen, attached)), ids)
  if (wanted !== 'labels') {
    const vectors = wanted === 'cls' ? picked(g, states, firstRows) : tokenMean(g, states, inputs.segments)
    return graphOf([[VECTORS, vectors]])
  }
  const scores = seats.map(({ name, ...seat }): [string, Node] => {
    // Above the body each seat's head is computed for all rows, so that heads may be of any size.
    const net = createNet(g, inputs, attach(g, frozen, attachedOf(g, { name, ...seat }, false, firstRows)))
    const { model } = seat
    const hidden = model.pooled?.(net, states) ?? states
    const rows = model.spec.task === 'token-classification' ? hidden : picked(g, hidden, firstRows)
    return [scoresOf(name), model.logits(net, rows)]
  })
  return graphOf(scores)
}

function gridFeeds(g: Builder): NetInputs {
  const grid = (name: string): Node => g.feed(name, { dtype: 'i64', shape: ['batch', 'seq'] })
  const [positions, segments] = [grid('positions'), grid('segments')]
  return {
    ...{ positions, segments, keyPositions: positions, keySegments: segments },
    ...{ tokenTypes: grid('tokenTypes'), columns: g.feed('columns', { dtype: 'i64', shape: ['seq'] }) },
  }
}

function attachedOf(g: Builder, { name, adapter, scale }: Seat, byRow: boolean, firstRows: Node): Attached[] {
  if (!adapter) return []
  const rowWeight = byRow ? g.feed(rowWeightOf(name), { dtype: 'f32', shape: ['batch'] }) : undefined
  const active = adapter.layout.invocation ? activeTokens(g, name, firstRows) : undefined
  return [attachLoaded(g, adapter, { scale, rowWeight, active })]
}

function activeTokens(g: Builder, name: string, rows: Node): ByToken {
  const tokens = g.feed(activeOf(name), { dtype: 'f32', shape: ['batch', 'seq'] })
  return { tokens, rows: g.gather(g.reshape(tokens, { shape: [mulDims('batch', 'seq')] }), rows) }
}

/** `f32[batch, seq, d]` → the states of the rows' first tokens, `f32[batch, d]`. */
function picked(g: Builder, states: Node, firstRows: Node): Node {
  const width = states.type.shape.at(-1) ?? 1
  return g.gather(g.reshape(states, { shape: [mulDims('batch', 'seq'), width] }), firstRows)
}

/** `f32[batch, seq, d]` → `f32[batch, d]`, padding left out. */
function tokenMean(g: Builder, states: Node, segments: Node): Node {
  const width = states.type.shape.at(-1) ?? 1
  const zero = g.constant({ dtype: 'i64', shape: [], values: [0] })
  const real = g.cast(g.less(zero, segments), { to: 'f32' })
  const weights = g.div(real, g.sum(real, { axes: [1], keepDims: true }))
  const sum = g.matmul(g.reshape(weights, { shape: ['batch', 1, 'seq'] }), states)
  return g.reshape(sum, { shape: ['batch', width] })
}
