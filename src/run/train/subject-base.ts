/**
 * @file What every kind of subject is made of: the interface, and what they find and say alike.
 * Must not know methods, data, the loop or terminals.
 */
import { isWeightRef, type WeightSource } from '../../engine/engine.ts'
import { readTensor } from '../../formats/tensor-files.ts'
import { initialWeights } from '../../models/initial-weights.ts'
import type { Model } from '../../models/model.ts'
import { invariant } from '../../support/errors.ts'
import { type HostTensor, sizeOf } from '../../tensor/host-tensor.ts'
import { layoutFull } from '../../train/full-layout.ts'
import { type GroupRule, groupParameters } from '../../train/parameter-groups.ts'
import type { Trained } from '../../train/step-graph.ts'
import type { OpenModel } from '../open-model.ts'
import type { FirstValuesContext } from './first-values.ts'
import type { TrainSettings } from './settings.ts'

export interface Subject {
  readonly trained: Trained
  /** The settings with what an adapter's config says in place of what options say. */
  readonly settings: TrainSettings
  /** Folder of the base (or of the config a new model starts from): tokenizer and small files lie there. */
  readonly folder: string
  readonly weights: WeightSource
  /** First values of the trained tensors, by id. */
  start(): Promise<ReadonlyMap<string, HostTensor>>
  /** Writes the adapter (or model) as its users expect it. `facts` go to the model card. */
  write(
    folder: string,
    values: ReadonlyMap<string, HostTensor>,
    facts?: readonly (readonly [string, string])[],
  ): Promise<void>
  /** Numbers of the whole model. */
  readonly parameters: number
  /** Things to say aloud before training. */
  readonly notes: readonly string[]
  /** The subject with a start that has to be found first, in the base or in the rows; absent where it is drawn. */
  find?(context: FirstValuesContext): Promise<Subject>
}

export function trainedOf(
  model: Model,
  layout: Trained['layout'],
  dropout: number,
  followsTies: boolean,
  rule?: Partial<GroupRule>,
): Trained {
  return { model, layout, groups: groupParameters(layout.tensors, rule), dropout, followsTies }
}

/** First values of a head that the base's files lack, drawn as transformers draws them. */
export function freshWeights(
  { model, fresh }: Pick<OpenModel, 'model' | 'fresh'>,
  settings: TrainSettings,
): Map<string, HostTensor> {
  return initialWeights(model, settings.initSeed ?? settings.seed, fresh)
}

/** @param brings whether the adapter that the run starts from has a module that the base lacks */
export function freshNotes(
  { model, fresh }: Pick<OpenModel, 'model' | 'fresh'>,
  { newHead, adapter }: Pick<TrainSettings, 'newHead' | 'adapter'>,
  brings: (path: string) => boolean = () => adapter !== undefined,
): string[] {
  const anew = fresh.filter(({ path, isTaskHead }) => (newHead && isTaskHead) || !brings(path))
  if (anew.length === 0) return []
  const names = anew.map(({ path }) => path).join(', ')
  const why = newHead ? `a new head for ${headWords(model)}` : `the base's files have no ${names}`
  return [`${why}: ${newHead ? `${names} ` : ''}newly initialised, trained and saved`]
}

function headWords({ spec }: Model): string {
  return spec.labels.length > 1 ? `${spec.task} of ${spec.labels.length} labels` : spec.task
}

/**
 * The tensors of an adapter that a run starts from, with those of a new head in place of the one it was trained with.
 * @param keyOf the file's key of a base tensor's name
 */
export function withNewHead(
  tensors: ReadonlyMap<string, HostTensor>,
  open: Pick<OpenModel, 'model' | 'fresh'>,
  settings: TrainSettings,
  keyOf: (name: string) => string = (name) => name,
): ReadonlyMap<string, HostTensor> {
  if (!settings.newHead) return tensors
  const heads = open.model.modules.filter(({ isTaskHead }) => isTaskHead)
  const isHeads = (key: string): boolean => heads.some(({ path }) => key.startsWith(keyOf(`${path}.`)))
  const drawn = [...freshWeights(open, settings)].map(([name, value]) => [keyOf(name), value] as const)
  return new Map([...[...tensors].filter(([key]) => !isHeads(key)), ...drawn.filter(([key]) => isHeads(key))])
}

export function valueById(values: ReadonlyMap<string, HostTensor>, id: string): HostTensor {
  const value = values.get(id)
  invariant(value, `${id} has no value`)
  return value
}

/** Reads a base tensor as f32 by the model's name for it. */
export function weightReader(weights: WeightSource): (name: string) => Promise<HostTensor> {
  return async (name) => {
    const source = weights.get(name)
    invariant(source, `the base has no tensor ${name}`)
    return isWeightRef(source) ? await readTensor(source, { as: 'f32' }) : source
  }
}

export function countParameters(model: Model): number {
  return layoutFull(model.modules).tensors.reduce((sum, t) => sum + sizeOf(t.shape), 0)
}
