/** @file Opens a model folder: its config, the graph it means, and where its weights lie. Reads headers, not weights. */
import { join } from 'node:path'
import type { WeightRef } from '../engine/engine.ts'
import { parseHfConfig } from '../formats/hf-config.ts'
import { openWeights } from '../formats/weights-folder.ts'
import { bindWeights } from '../models/bind-weights.ts'
import type { Model } from '../models/causal-lm.ts'
import { modelOf } from '../models/registry.ts'
import { readJson } from '../support/files.ts'

export interface OpenModel {
  readonly folder: string
  readonly model: Model
  /** By the model's own names. */
  readonly weights: ReadonlyMap<string, WeightRef>
}

/** @throws LowrankError naming the file and the field or tensor that does not fit. */
export async function openModel(folder: string): Promise<OpenModel> {
  const model = await openConfig(join(folder, 'config.json'))
  const { refs } = await openWeights(folder)
  return { folder, model, weights: bindWeights(model, refs, folder) }
}

/** The model a config.json describes, without weights. */
export async function openConfig(file: string): Promise<Model> {
  return modelOf(parseHfConfig(await readJson(file), file))
}
