/**
 * @file Which modules are drawn anew before fine-tuning (arXiv 2006.05987, section 5): the top layers, and the pooler, both
 * close to what the model was pretrained for. Their values are those of models/initial-weights.ts: matrices normal with
 * the config's `initializer_range`, norms one, biases zero. Must not know tensor values or training.
 */
import { LowrankError } from '../support/errors.ts'
import { layerCount, layerOf } from './layer-index.ts'
import type { Model } from './model.ts'
import type { ModuleInfo } from './modules.ts'

type Described = Pick<Model, 'modules' | 'blockOf' | 'modelType' | 'spec'>

/** Modules of the top `layers` layers, in order. @throws LowrankError `config` where there are fewer */
export function topLayers(model: Described, layers: number): ModuleInfo[] {
  const count = layerCount(model)
  if (layers > count) {
    const message = `--reinit-layers ${layers}: the model has ${count} layers`
    throw new LowrankError('config', message, { field: 'reinit-layers' })
  }
  return model.modules.filter(({ path }) => (layerOf(model, path) ?? -1) >= count - layers)
}

/**
 * What stands between the last layer and the layer that tells labels apart: BERT's pooler, the first layer of RoBERTa's
 * head, DistilBERT's `pre_classifier`. Empty where there is no such module, or no such head.
 */
export function poolerOf({ modules, spec }: Described): ModuleInfo[] {
  if (spec.task !== 'classification' && spec.task !== 'regression') return []
  const above = modules.filter(({ isAbove }) => isAbove)
  const last = above.findLastIndex(({ kind }) => kind === 'linear')
  return above.slice(0, last)
}

/** @throws LowrankError `unsupported` for a model that has none */
export function requirePooler(model: Described): ModuleInfo[] {
  const pooler = poolerOf(model)
  if (pooler.length > 0) return pooler
  const message = `--reinit-pooler: ${model.modelType} for ${model.spec.task} has no pooler`
  throw new LowrankError('unsupported', message, { field: 'reinit-pooler', suggestion: 'leave it out' })
}
