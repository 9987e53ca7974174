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
import { readJson } from '../support/files.ts'

export interface OpenModel {
  readonly folder: string
  readonly model: Model
  /** By the model's own names. */
  readonly weights: ReadonlyMap<string, WeightRef>
  /** Modules of its head that the files lack: they have no weights yet. */
  readonly fresh: readonly ModuleInfo[]
}

/**
 * @param head instead of the one that config.json means
 * @throws LowrankError naming the file and the field or tensor that does not fit.
 */
export async function openModel(folder: string, head?: HeadSpec): Promise<OpenModel> {
  const model = await openConfig(join(folder, 'config.json'), head)
  const { refs } = await openWeights(folder)
  const { bound, fresh } = bindWeights(model, refs, folder)
  return { folder, model, weights: bound, fresh }
}

/** The model a config.json describes, without weights. */
export async function openConfig(file: string, head?: HeadSpec): Promise<Model> {
  return modelOf(parseHfConfig(await readJson(file), file), head)
}
