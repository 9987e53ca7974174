/**
 * @file The graph of generation: a model's next-token logits with keys and values of the past kept as state. One graph
 * serves the prompt (many tokens) and each step after it (one token). Must not know engines, sampling or text.
 */
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import type { Model } from '../models/causal-lm.ts'
import { createNet, type NetInputs } from '../models/net.ts'
import { newBuilder } from '../ops/index.ts'
import { attach, type ByToken } from '../peft/attach.ts'
import { addDims, mulDims } from '../tensor/dim.ts'
import { attachLoaded, type LoadedAdapter } from './loaded-adapter.ts'

export interface DecodeGraph {
  /**
   * Feeds, all `i64`: `ids, positions, segments [batch, seq]` of the new tokens, `keyPositions, keySegments
   * [batch, past+seq]` of all, `lastRows [batch]` = row · seq + t of the token whose logits are wanted; and
   * where the model asks for it `lengths [batch]`, that of each row's sequence with the new tokens;
   * `rowWeight.NAME: f32[batch]` of each weighted adapter, `active.NAME: f32[batch, seq]` of each activated one. Output: `logits: f32[batch, vocab]`.
   */
  readonly graph: Graph
  /** `past.N.k` and `past.N.v`, `f32[batch, kvHeads, past, headDim]` → what follows them. */
  readonly state: Readonly<Record<string, string>>
  /** Number of heads and their size, of each state. */
  readonly cache: readonly { readonly name: string; readonly kvHeads: number; readonly headDim: number }[]
  /** Tokens that activate adapters, by the adapter's name. */
  readonly invocations: ReadonlyMap<string, readonly number[]>
  /** A sequence that grows beyond this many tokens is read anew from its start. */
  readonly longFrom?: number | undefined
}

export interface DecodeAdapters {
  /** Each row of a batch takes as much of these as its `rowWeight` says. */
  readonly weighted: readonly LoadedAdapter[]
  /** In full on every row. */
  readonly whole: readonly LoadedAdapter[]
}

export function buildDecode(model: Model, { weighted, whole }: DecodeAdapters): DecodeGraph {
  const g = newBuilder()
  const ids = g.feed('ids', { dtype: 'i64', shape: ['batch', 'seq'] })
  const kept = keptCache(g)
  const lastRows = g.feed('lastRows', { dtype: 'i64', shape: ['batch'] })
  const active = (adapter: LoadedAdapter): { active?: ByToken } =>
    adapter.layout.invocation ? { active: activeTokens(g, adapter.name, lastRows) } : {}
  const attached = [
    ...whole.map((adapter) => attachLoaded(g, adapter, active(adapter))),
    ...weighted.map((adapter) =>
      attachLoaded(g, adapter, {
        rowWeight: g.feed(rowWeightOf(adapter.name), { dtype: 'f32', shape: ['batch'] }),
        ...active(adapter),
      }),
    ),
  ]
  const wiring = attach(g, (name, shape) => g.weight(name, shape), attached)
  const net = createNet(
    g,
    { ...gridFeeds(g), lengths: g.feed('lengths', { dtype: 'i64', shape: ['batch'] }), cache: kept.join },
    wiring,
  )
  const hidden = model.hidden(net, ids)
  const rows = g.gather(
    g.reshape(hidden, { shape: [mulDims('batch', 'seq'), hidden.type.shape.at(-1) ?? 1] }),
    lastRows,
  )
  const logits = model.logits(net, rows)
  const invocations = new Map(
    [...whole, ...weighted].flatMap(({ name, layout }) => (layout.invocation ? [[name, layout.invocation]] : [])),
  )
  return {
    graph: graphOf([['logits', logits], ...kept.outputs]),
    state: kept.state,
    cache: kept.cache,
    invocations,
    longFrom: model.config.longFrom,
  }
}

/** Name of the feed that weights an adapter by row. */
export function rowWeightOf(adapter: string): string {
  return `rowWeight.${adapter}`
}

/** Name of the feed that says at which tokens an activated adapter acts. */
export function activeOf(adapter: string): string {
  return `active.${adapter}`
}

function activeTokens(g: Builder, adapter: string, lastRows: Node): ByToken {
  const tokens = g.feed(activeOf(adapter), { dtype: 'f32', shape: ['batch', 'seq'] })
  return { tokens, rows: g.gather(g.reshape(tokens, { shape: [mulDims('batch', 'seq')] }), lastRows) }
}

function gridFeeds(g: Builder): Omit<NetInputs, 'cache'> {
  const grid = { dtype: 'i64', shape: ['batch', 'seq'] } as const
  const keys = { dtype: 'i64', shape: ['batch', addDims('past', 'seq')] } as const
  return {
    positions: g.feed('positions', grid),
    segments: g.feed('segments', grid),
    keyPositions: g.feed('keyPositions', keys),
    keySegments: g.feed('keySegments', keys),
  }
}

function keptCache(g: Builder): {
  join: NonNullable<NetInputs['cache']>
  outputs: [string, Node][]
  state: Record<string, string>
  cache: { name: string; kvHeads: number; headDim: number }[]
} {
  const outputs: [string, Node][] = []
  const state: Record<string, string> = {}
  const cache: { name: string; kvHeads: number; headDim: number }[] = []
  const keep = (name: string, next: Node): Node => {
    const [, kvHeads = 1, , headDim = 1] = next.type.shape
    const past = g.state(`past.${name}`, ['batch', kvHeads, 'past', headDim])
    const all = g.concat([past, next], { axis: 2 })
    outputs.push([`present.${name}`, all])
    state[`past.${name}`] = `present.${name}`
    cache.push({ name: `past.${name}`, kvHeads: Number(kvHeads), headDim: Number(headDim) })
    return all
  }
  const join = (index: number, key: Node, value: Node): { key: Node; value: Node } => ({
    key: keep(`${index}.k`, key),
    value: keep(`${index}.v`, value),
  })
  return { join, outputs, state, cache }
}
