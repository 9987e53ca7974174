/**
 * @file How far below the top a tensor stands, for learning rates that fall layer by layer (Howard & Ruder, arXiv
 * 1801.06146; as in arXiv 2006.05987). Must not know optimizers.
 */
import { layerCount, layerOf } from '../models/layer-index.ts'
import type { Model } from '../models/model.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import type { GroupRule } from './parameter-groups.ts'

type Described = Pick<Model, 'modules' | 'blockOf'>

/**
 * Depth by module path: 0 for what stands above the last layer, 1 for that layer, … N for the first, N + 1 for embeddings
 * and all else below it.
 */
export function layerDepths(model: Described): (path: string) => number {
  const count = layerCount(model)
  const first = model.modules.findIndex(({ path }) => layerOf(model, path) !== undefined)
  const below = new Set(model.modules.slice(0, Math.max(0, first)).map(({ path }) => path))
  return (path) => {
    const layer = layerOf(model, path)
    if (layer !== undefined) return count - layer
    return below.has(path) ? count + 1 : 0
  }
}

/** Rates of `decay^depth`: a tensor of an adapter belongs to the layer that it sits in. */
export function layerDecayRule(model: Described, decay: number): Pick<GroupRule, 'rateFactor'> {
  const depth = layerDepths(model)
  return { rateFactor: ({ module }: AdapterTensor) => decay ** depth(module) }
}
