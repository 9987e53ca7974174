/**
 * @file What a run trains: the model with an adapter on it, or all of the model; its first values, and how it is written.
 * Must not know data, the loop or terminals.
 */
import { dirname, join } from 'node:path'
import { isWeightRef, type WeightSource } from '../../engine/engine.ts'
import { renderModelCard } from '../../formats/model-card.ts'
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import { readPeftFolder, writePeftFolder } from '../../formats/peft-folder.ts'
import { readTensor, type WeightRef, writeSafetensors } from '../../formats/tensor-files.ts'
import type { Model } from '../../models/causal-lm.ts'
import { initialWeights } from '../../models/initial-weights.ts'
import { adapterTensorsToSave, loadAdapterTensors } from '../../peft/adapter-tensors.ts'
import { initAdapter } from '../../peft/init.ts'
import { type AdapterLayout, layoutAdapter } from '../../peft/layout.ts'
import { writeFileAtomic } from '../../support/atomic-write.ts'
import { invariant } from '../../support/errors.ts'
import { type HostTensor, sizeOf } from '../../tensor/host-tensor.ts'
import { layoutFull } from '../../train/full-layout.ts'
import { loraFa } from '../../train/lora-fa.ts'
import { type LoraPlus, layerNorms, loraPlusRule } from '../../train/lora-plus.ts'
import { type GroupRule, groupParameters } from '../../train/parameter-groups.ts'
import { heldWeights, type Trained } from '../../train/step-graph.ts'
import { copySmallFiles } from '../model-files.ts'
import { openConfig, openModel } from '../open-model.ts'
import { newLoraConfig, refuseContradiction, settingsOfConfig } from './lora-settings.ts'
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
}

/** Opens what `settings` name. `folder` is the base's, or that of `--from-config`. */
export async function openSubject(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  folder: string,
): Promise<Subject> {
  return settings.method === 'full' ? await fullSubject(settings, folder) : await loraSubject(settings, given, folder)
}

async function loraSubject(settings: TrainSettings, given: ReadonlySet<string>, folder: string): Promise<Subject> {
  const { model, weights: refs } = await openModel(folder)
  const adapter = settings.adapter === undefined ? undefined : await readPeftFolder(settings.adapter)
  if (adapter) refuseContradiction(settings, given, adapter.config, settings.adapter ?? '')
  const config = adapter?.config ?? (await newLoraConfig(settings, given))
  const layout = layoutAdapter(model.modules, config, { modelType: model.modelType, loaded: adapter !== undefined })
  const brought = adapter && loadAdapterTensors(layout, model.modules, adapter.tensors, settings.adapter)
  const weights = new Map<string, WeightRef | HostTensor>([...refs, ...(brought?.base ?? [])])
  const base = weightReader(weights)
  const start = async (): Promise<ReadonlyMap<string, HostTensor>> => {
    if (brought) return brought.trained
    return await initAdapter(layout, { seed: settings.initSeed ?? settings.seed, init: config.init_lora_weights }, base)
  }
  const saved: PeftLoraConfig = { ...config, ...layout.savedConfig }
  const fa = settings.loraFa ? loraFa(layout.sites, await start()) : undefined
  const rule: Partial<GroupRule> = {
    ...(settings.loraPlusRatio === 1 ? {} : loraPlusRule(loraPlusOf(settings, model))),
    holds: ({ id }) => fa?.held.has(id) ?? false,
  }
  const trained: Trained = { ...trainedOf(model, layout, config.lora_dropout, false, rule), loraFa: fa }
  return {
    trained,
    settings: settingsOfConfig(settings, config),
    folder,
    weights: new Map([...frozenWeights(weights, layout), ...heldWeights(trained)]),
    start,
    write: async (target, values, facts) => {
      const card = renderModelCard({ config: saved, ...(facts ? { facts } : {}) })
      const all = new Map([...(fa?.held ?? []), ...values])
      await writePeftFolder(target, { config: saved, tensors: await adapterTensorsToSave(layout, all, base), card })
    },
    parameters: countParameters(model),
    notes: [...(adapter?.warnings ?? []), ...layout.notes],
  }
}

function loraPlusOf(settings: TrainSettings, { modules }: Model): LoraPlus {
  const { loraPlusRatio: ratio, loraPlusEmbeddingRate: embeddingRate, learningRate } = settings
  return { ratio, embeddingRate, learningRate, layerNorms: layerNorms(modules) }
}

function trainedOf(
  model: Model,
  layout: Trained['layout'],
  dropout: number,
  followsTies: boolean,
  rule?: Partial<GroupRule>,
): Trained {
  return { model, layout, groups: groupParameters(layout.tensors, rule), dropout, followsTies }
}

async function fullSubject(settings: TrainSettings, folder: string): Promise<Subject> {
  const configFile = settings.fromConfig ?? join(folder, 'config.json')
  const opened = settings.fromConfig === undefined ? await openModel(folder) : undefined
  const model = opened?.model ?? (await openConfig(configFile))
  const layout = layoutFull(model.modules)
  const base = opened && weightReader(opened.weights)
  return {
    trained: trainedOf(model, layout, 0, true),
    settings,
    folder,
    weights: new Map(),
    start: async () => {
      if (!base) return initialWeights(model, settings.initSeed ?? settings.seed)
      const values = new Map<string, HostTensor>()
      for (const { id } of layout.tensors) values.set(id, await base(id))
      return values
    },
    write: async (target, values) => {
      await writeSafetensors(
        join(target, 'model.safetensors'),
        new Map(layout.tensors.map(({ id }) => [id, valueById(values, id)])),
        { metadata: { format: 'pt' } },
      )
      await copySmallFiles(dirname(configFile), target)
      const json: Record<string, unknown> = { ...model.raw.json() }
      delete json.torch_dtype
      await writeFileAtomic(join(target, 'config.json'), `${JSON.stringify({ ...json, dtype: 'float32' }, null, 2)}\n`)
    },
    parameters: countParameters(model),
    notes: [],
  }
}

function valueById(values: ReadonlyMap<string, HostTensor>, id: string): HostTensor {
  const value = values.get(id)
  invariant(value, `${id} has no value`)
  return value
}

/** Reads a base tensor as f32 by the model's name for it. */
function weightReader(weights: WeightSource): (name: string) => Promise<HostTensor> {
  return async (name) => {
    const source = weights.get(name)
    invariant(source, `the base has no tensor ${name}`)
    return isWeightRef(source) ? await readTensor(source, { as: 'f32' }) : source
  }
}

/** Base tensors the graph will ask for: those that an adapter has its own copy of are left out where nothing else uses them. */
function frozenWeights(weights: WeightSource, layout: AdapterLayout): WeightSource {
  const replaced = new Set(layout.tensors.filter((t) => t.trained && t.role === 'bias').map((t) => t.source))
  return new Map([...weights].filter(([name]) => !replaced.has(name)))
}

function countParameters(model: Model): number {
  return layoutFull(model.modules).tensors.reduce((sum, t) => sum + sizeOf(t.shape), 0)
}
