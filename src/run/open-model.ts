/** @file Opens a model folder: its config, the graph it means, and where its weights lie. Reads headers, not weights. */
import { join } from 'node:path'
import type { WeightRef } from '../engine/engine.ts'
import { parseHfConfig } from '../formats/hf-config.ts'
import type { HeadSpec } from '../formats/task.ts'
import { openWeights } from '../formats/weights-folder.ts'
import { bindWeights } from '../models/bind-weights.ts'
import type { Model } from '../models/model.ts'
import type { ModuleInfo } from '../models/modules.ts'
import { modelOf } from '../models/registry.ts'
import { type LayerRanges, type Replicated, replicateLayers } from '../models/replicate.ts'
import { readJson } from '../support/files.ts'

export interface OpenModel {
  readonly folder: string
  readonly model: Model
  /** By the model's own names. */
  readonly weights: ReadonlyMap<string, WeightRef>
  /** Modules of its head that the files lack: they have no weights yet. */
  readonly fresh: readonly ModuleInfo[]
  /** How its stack was rebuilt, where an adapter's `layer_replication` says so. */
  readonly replicated?: Replicated | undefined
}

/**
 * @param head instead of the one that config.json means; tensors of another shape in the files are then not its
 * @param anew whatever head the files hold is left for a new one
 * @throws LowrankError naming the file and the field or tensor that does not fit.
 */
export async function openModel(folder: string, head?: HeadSpec, anew = false): Promise<OpenModel> {
  const model = await openConfig(join(folder, 'config.json'), head)
  const { refs } = await openWeights(folder)
  const { bound, fresh } = bindWeights(model, refs, folder, anew ? 'new' : head ? 'given' : 'own')
  return { folder, model, weights: bound, fresh }
}

/** The same model with its stack rebuilt; as it is where there is nothing to rebuild. @throws LowrankError as `replicateLayers` */
export async function withReplication(open: OpenModel, ranges: LayerRanges | null): Promise<OpenModel> {
  if (ranges === null) return open
  const replicated = replicateLayers(open.model, ranges)
  const { refs } = await openWeights(open.folder)
  const { bound, fresh } = bindWeights(replicated.model, replicated.expand(refs), open.folder)
  return { folder: open.folder, model: replicated.model, weights: bound, fresh, replicated }
}

/** The model a config.json describes, without weights. */
export async function openConfig(file: string, head?: HeadSpec): Promise<Model> {
  return modelOf(parseHfConfig(await readJson(file), file), head)
}
