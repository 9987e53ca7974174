/**
 * @file What answers a row: a base with one adapter and the head it was trained with, or the base alone; and which of
 * several can share a batch, each row with its own. Must not know files, text or engines.
 */
import type { WeightSource } from '../engine/engine.ts'
import type { Model } from '../models/model.ts'
import type { LoadedAdapter } from './loaded-adapter.ts'

export interface Seat {
  /** The name by which rows choose it. */
  readonly name: string
  /** The base with this seat's head. */
  readonly model: Model
  /** The base's weights by the model's names. */
  readonly weights: WeightSource
  readonly adapter?: LoadedAdapter | undefined
  /** Factor on the adapter's update. */
  readonly scale: number
  /** The base's layers were rebuilt for it (layer_replication). */
  readonly isRebuilt: boolean
}

/**
 * Why a seat's rows need batches of their own; undefined where its adapter can sit beside others, each row taking its
 * own: low-rank updates, bottlenecks, LayerNorms, biases, and whatever stands above the last layer.
 */
export function needsOwnBatch({ adapter, model, isRebuilt }: Seat): string | undefined {
  if (isRebuilt) return 'it rebuilds the layers'
  if (!adapter) return undefined
  const { layout, base } = adapter
  if (base.size > 0) return `it brings its own ${[...base.keys()].join(', ')}`
  if (layout.tokens.length > 0) return 'it replaces token rows (trainable_token_indices)'
  const modules = new Map(model.modules.map((one) => [one.path, one]))
  for (const { path, method, ids } of layout.sites) {
    if (modules.get(path)?.isAbove) continue
    if (!method.weighsRows) return `it is a ${method.type} adapter`
    if (ids.magnitude) return 'it is a DoRA adapter'
    if (modules.get(path)?.isOffGrid) return `it sits at ${path}, which has no activation a row`
  }
  for (const { role, module, parameter } of layout.tensors.filter(({ trained }) => trained)) {
    const here = modules.get(module)
    if ((role !== 'saved' && role !== 'bias') || here?.isAbove) continue
    if (here?.isOffGrid) return `it replaces ${module}, which has no activation a row`
    if (here?.kind !== 'norm' && parameter !== 'bias') return `it replaces ${module}`
  }
  return undefined
}
