/**
 * @file From a model and what sits on it to the loss of each labelled token, inside a graph under construction.
 * Must not know optimizers, engines or where batches come from.
 */
import type { Builder } from '../graph/builder.ts'
import { topological } from '../graph/graph.ts'
import type { Node } from '../graph/types.ts'
import type { Model } from '../models/model.ts'
import { createNet, type Net, type NetInputs } from '../models/net.ts'
import type { RowFeeds } from '../passes/frozen-prefix.ts'
import { type Attached, attach } from '../peft/attach.ts'
import { mulDims } from '../tensor/dim.ts'
import { activeFeed } from './batch-tensors.ts'
import { objectiveOf } from './objectives.ts'

/** What a batch feeds (data/batch.ts makes it); `dropoutKeys` only where dropout acts. */
export interface BatchFeeds {
  readonly ids: Node
  readonly positions: Node
  readonly segments: Node
  /** Flat index, row·seq + t, of the hidden states that predict a label. */
  readonly labelRows: Node
  /** `i64[batch, seq]` and `i64[seq]`, which only some encoders read. */
  readonly tokenTypes: Node
  readonly columns: Node
  readonly dropoutKeys: Node | undefined
  /** `u32[1]`. */
  readonly stepKey: Node | undefined
  /** Whether the config's dropout acts below everything trained too. @default true */
  readonly frozenDropout?: boolean | undefined
}

/** Feeds by what they say of a batch: what its rows are, and where tokens and labels stand. */
export const ROW_FEEDS: RowFeeds = {
  content: new Set(['ids', 'tokenTypes']),
  places: new Set(['positions', 'segments', 'columns', 'labelRows']),
}

/** Declares the feeds of a batch: `ids, positions, segments: i64[batch, seq]`, `labelRows: i64[labelled]`, … */
export function batchFeeds(g: Builder, dropout: boolean): BatchFeeds {
  const grid = { dtype: 'i64', shape: ['batch', 'seq'] } as const
  return {
    ids: g.feed('ids', grid),
    positions: g.feed('positions', grid),
    segments: g.feed('segments', grid),
    tokenTypes: g.feed('tokenTypes', grid),
    columns: g.feed('columns', { dtype: 'i64', shape: ['seq'] }),
    labelRows: g.feed('labelRows', { dtype: 'i64', shape: ['labelled'] }),
    dropoutKeys: dropout ? g.feed('dropoutKeys', { dtype: 'u32', shape: ['batch', 'seq'] }) : undefined,
    stepKey: dropout ? g.feed('stepKey', { dtype: 'u32', shape: [1] }) : undefined,
  }
}

/** The hidden states that predict a label, `f32[labelled, hidden]`, in a net with everything attached. */
export function labelledStates(
  g: Builder,
  model: Model,
  attached: readonly Attached[],
  feeds: BatchFeeds,
): { net: Net; rows: Node } {
  const { positions, segments, tokenTypes, columns, dropoutKeys, stepKey } = feeds
  const count = mulDims('batch', 'seq')
  const keys = dropoutKeys && {
    tokens: dropoutKeys,
    rows: g.gather(g.reshape(dropoutKeys, { shape: [count] }), feeds.labelRows),
    step: stepKey,
  }
  const inputs: NetInputs = {
    ...{ positions, segments, keyPositions: positions, keySegments: segments, tokenTypes, columns },
    ...{ dropoutKeys, rowKeys: keys?.rows, stepKey },
    ...(feeds.frozenDropout === false ? { drops: learnsIn(() => inBody) } : {}),
  }
  let inBody = true
  const activated = attached.map((adapter, i) => withActivation(g, adapter, i, feeds))
  const wiring = attach(g, (name, shape) => g.weight(name, shape), activated, keys)
  const net = createNet(g, inputs, wiring)
  const states = model.hidden(net, feeds.ids)
  const hidden = model.pooled?.(net, states) ?? states
  inBody = false
  const rows = g.gather(g.reshape(hidden, { shape: [count, hidden.type.shape.at(-1) ?? 1] }), feeds.labelRows, {
    distinct: true,
  })
  return { net, rows }
}

/** Whether dropout acts on `x`: in the body where something trained is below it, in the head always. */
function learnsIn(inBody: () => boolean): (x: Node) => boolean {
  const known = new Map<Node, boolean>()
  const learns = (x: Node): boolean => {
    for (const node of topological([x], new Set(known.keys()))) {
      const own = node.op === 'input' && node.params.kind === 'state'
      if (!known.has(node)) known.set(node, own || node.inputs.some((input) => known.get(input)))
    }
    return known.get(x) ?? false
  }
  return (x) => !inBody() || learns(x)
}

/** An adapter that acts from some token on is told by a feed from which. */
function withActivation(g: Builder, adapter: Attached, index: number, { labelRows }: BatchFeeds): Attached {
  if (!adapter.layout.invocation) return adapter
  const tokens = g.feed(activeFeed(index), { dtype: 'f32', shape: ['batch', 'seq'] })
  const rows = g.gather(g.reshape(tokens, { shape: [mulDims('batch', 'seq')] }), labelRows)
  return { ...adapter, active: { tokens, rows } }
}

/** The loss of each label, `f32[labelled]`, with the logits it comes from where the task is measured by them. */
export function batchLosses(
  g: Builder,
  model: Model,
  attached: readonly Attached[],
  feeds: BatchFeeds,
): { losses: Node; logits?: Node } {
  const objective = objectiveOf(model)
  const { net, rows } = labelledStates(g, model, attached, feeds)
  const dtype = objective.target === 'labels' ? 'i64' : 'f32'
  const target = g.feed(objective.target, { dtype, shape: ['labelled'] })
  const losses = objective.losses(model, net, rows, target)
  return { losses, ...(objective.measures ? { logits: model.logits(net, rows) } : {}) }
}
