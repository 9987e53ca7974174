/**
 * @file From a model and what sits on it to the loss of each labelled token, inside a graph under construction.
 * Must not know optimizers, engines or where batches come from.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { Model } from '../models/causal-lm.ts'
import { createNet, type Net, type NetInputs } from '../models/net.ts'
import { type Attached, attach } from '../peft/attach.ts'
import { mulDims } from '../tensor/dim.ts'
import { activeFeed } from './batch-tensors.ts'

/** What a batch feeds (data/batch.ts makes it); `dropoutKeys` only where dropout acts. */
export interface BatchFeeds {
  readonly ids: Node
  readonly positions: Node
  readonly segments: Node
  /** Flat index, row·seq + t, of the hidden states that predict a label. */
  readonly labelRows: Node
  readonly dropoutKeys: Node | undefined
}

/** Declares the feeds of a batch: `ids, positions, segments: i64[batch, seq]`, `labelRows: i64[labelled]`. */
export function batchFeeds(g: Builder, dropout: boolean): BatchFeeds {
  const grid = { dtype: 'i64', shape: ['batch', 'seq'] } as const
  return {
    ids: g.feed('ids', grid),
    positions: g.feed('positions', grid),
    segments: g.feed('segments', grid),
    labelRows: g.feed('labelRows', { dtype: 'i64', shape: ['labelled'] }),
    dropoutKeys: dropout ? g.feed('dropoutKeys', { dtype: 'u32', shape: ['batch', 'seq'] }) : undefined,
  }
}

/** The hidden states that predict a label, `f32[labelled, hidden]`, in a net with everything attached. */
export function labelledStates(
  g: Builder,
  model: Model,
  attached: readonly Attached[],
  feeds: BatchFeeds,
): { net: Net; rows: Node } {
  const { positions, segments, dropoutKeys } = feeds
  const count = mulDims('batch', 'seq')
  const keys = dropoutKeys && {
    tokens: dropoutKeys,
    rows: g.gather(g.reshape(dropoutKeys, { shape: [count] }), feeds.labelRows),
  }
  const inputs: NetInputs = { positions, segments, keyPositions: positions, keySegments: segments, dropoutKeys }
  const activated = attached.map((adapter, i) => withActivation(g, adapter, i, feeds))
  const wiring = attach(g, (name, shape) => g.weight(name, shape), activated, keys)
  const net = createNet(g, inputs, wiring)
  const hidden = model.hidden(net, feeds.ids)
  const rows = g.gather(g.reshape(hidden, { shape: [count, hidden.type.shape.at(-1) ?? 1] }), feeds.labelRows, {
    distinct: true,
  })
  return { net, rows }
}

/** An adapter that acts from some token on is told by a feed from which. */
function withActivation(g: Builder, adapter: Attached, index: number, { labelRows }: BatchFeeds): Attached {
  if (!adapter.layout.invocation) return adapter
  const tokens = g.feed(activeFeed(index), { dtype: 'f32', shape: ['batch', 'seq'] })
  const rows = g.gather(g.reshape(tokens, { shape: [mulDims('batch', 'seq')] }), labelRows)
  return { ...adapter, active: { tokens, rows } }
}

/** Cross-entropy of each labelled token, `f32[labelled]`. */
export function tokenLosses(g: Builder, model: Model, attached: readonly Attached[], feeds: BatchFeeds): Node {
  const { net, rows } = labelledStates(g, model, attached, feeds)
  return net.headLoss(model.head, rows, g.feed('labels', { dtype: 'i64', shape: ['labelled'] }))
}
