/**
 * @file What a run trains: the model with an adapter on it, or all of the model; its first values, and how it is written.
 * Must not know data, the loop or terminals.
 */
import { dirname, join } from 'node:path'
import type { WeightSource } from '../../engine/engine.ts'
import { readAdapterConfig } from '../../formats/adapter-folder.ts'
import { writeLabels } from '../../formats/labels-file.ts'
import { changesBase } from '../../formats/lora-init.ts'
import { renderModelCard } from '../../formats/model-card.ts'
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import { readPeftFolder, writePeftFolder } from '../../formats/peft-folder.ts'
import { type HeadSpec, headConfig } from '../../formats/task.ts'
import { type WeightRef, writeSafetensors } from '../../formats/tensor-files.ts'
import { initialWeights } from '../../models/initial-weights.ts'
import type { Model } from '../../models/model.ts'
import { adapterTensorsToSave, type LoadedTensors, loadAdapterTensors } from '../../peft/adapter-tensors.ts'
import { initAdapter } from '../../peft/init.ts'
import { plainConfig, plainValues } from '../../peft/inits/plain-lora.ts'
import { fileKey } from '../../peft/keys.ts'
import { type AdapterLayout, layoutAdapter } from '../../peft/layout.ts'
import { writeFileAtomic } from '../../support/atomic-write.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { layoutFull } from '../../train/full-layout.ts'
import { loraFa } from '../../train/lora-fa.ts'
import { type LoraPlus, layerNorms, loraPlusRule } from '../../train/lora-plus.ts'
import { priorWeights } from '../../train/prior.ts'
import { heldWeights, type Trained } from '../../train/step-graph.ts'
import { copySmallFiles } from '../model-files.ts'
import { openConfig, openModel, withReplication } from '../open-model.ts'
import { sketchNotes } from '../taken-start.ts'
import { groupRuleOf, looksBack, mixoutSettings, redrawn } from './few-sample.ts'
import {
  checkFirstValues,
  type FirstValues,
  type FirstValuesContext,
  findFirstValues,
  findsFirstValues,
} from './first-values.ts'
import { newLoraConfig, refuseContradiction, settingsOfConfig } from './lora-settings.ts'
import { isPartsMethod, otherMethod, partsSubject, refuseBottleneck } from './parts-subject.ts'
import type { TrainSettings } from './settings.ts'
import {
  countParameters,
  freshNotes,
  freshWeights,
  type Subject,
  trainedOf,
  valueById,
  weightReader,
  withNewHead,
} from './subject-base.ts'

export type { Subject }

/** Opens what `settings` name, with the head that the rows ask for. `folder` is the base's, or that of `--from-config`. */
export async function openSubject(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  folder: string,
  head: HeadSpec,
): Promise<Subject> {
  return withLabels(await subjectOf(settings, given, folder, head), head)
}

async function subjectOf(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  folder: string,
  head: HeadSpec,
): Promise<Subject> {
  if (settings.method === 'full') return await fullSubject(settings, folder, head)
  const adapter = settings.adapter === undefined ? undefined : await readAdapterConfig(settings.adapter)
  const isParts = adapter ? adapter.kind !== 'peft' : isPartsMethod(settings.method)
  if (isParts) return await partsSubject(settings, given, folder, head)
  if (adapter && settings.method !== 'lora') throw otherMethod(settings, 'lora')
  refuseBottleneck(settings, given)
  return await loraSubject(settings, given, folder, head)
}

/** What the labels mean stands beside the weights. */
function withLabels(subject: Subject, head: HeadSpec): Subject {
  const { find } = subject
  return {
    ...subject,
    write: async (target, values, facts) => {
      await subject.write(target, values, facts)
      await writeLabels(target, head)
    },
    ...(find ? { find: async (context) => withLabels(await find(context), head) } : {}),
  }
}

async function loraSubject(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  folder: string,
  head: HeadSpec,
): Promise<Subject> {
  const plain = await openModel(folder, head, settings.newHead)
  const adapter = settings.adapter === undefined ? undefined : await readPeftFolder(settings.adapter)
  if (adapter) refuseContradiction(settings, given, adapter.config, settings.adapter ?? '')
  const config = adapter?.config ?? (await newLoraConfig(settings, given, plain))
  const open = await withReplication(plain, config.layer_replication)
  const { model } = open
  const refs = new Map<string, WeightRef | HostTensor>([...open.weights, ...freshWeights(open, settings)])
  const layout = layoutAdapter(model.modules, config, { modelType: model.modelType, loaded: adapter !== undefined })
  if (!adapter) {
    const drawn = await buildLora({ settings, folder, model, refs, config, layout })
    const subject = { ...drawn, notes: [...freshNotes(open, settings), ...drawn.notes] }
    if (!findsFirstValues(config)) return subject
    checkFirstValues({ model, layout, config })
    const find = async (context: FirstValuesContext): Promise<Subject> => {
      const found = await findFirstValues({ model, weights: refs, layout, config }, context)
      const chosen = layoutAdapter(model.modules, found.config, { modelType: model.modelType })
      return await buildLora({ settings, folder, model, refs, config: found.config, layout: chosen, found })
    }
    return { ...subject, find }
  }
  const tensors = withNewHead(adapter.tensors, open, settings, fileKey)
  const brought = loadAdapterTensors(layout, model.modules, tensors, settings.adapter)
  const parts: LoraParts = { settings, folder, model, refs, config, layout, brought }
  const built = await buildLora(parts)
  const init = config.init_lora_weights
  const headNotes = settings.newHead ? freshNotes(open, settings) : []
  if (!changesBase(init)) return { ...built, notes: [...adapter.warnings, ...headNotes, ...built.notes] }
  // As PEFT: the start is taken out of the base again, and training goes on from the adapter's values.
  checkFirstValues({ model, layout, config })
  const find = async (context: FirstValuesContext): Promise<Subject> =>
    await buildLora({ ...parts, found: await findFirstValues({ model, weights: refs, layout, config }, context) })
  return { ...built, find, notes: [...adapter.warnings, ...headNotes, ...sketchNotes(init), ...built.notes] }
}

interface LoraParts {
  readonly settings: TrainSettings
  readonly folder: string
  readonly model: Model
  /** Of the base, and of a head it lacks. */
  readonly refs: ReadonlyMap<string, WeightRef | HostTensor>
  readonly config: PeftLoraConfig
  readonly layout: AdapterLayout
  /** The values of an adapter that training goes on from. */
  readonly brought?: LoadedTensors
  /** What was found before training: the values of a new one, or a base with the start taken out. */
  readonly found?: FirstValues
}

async function buildLora({
  settings,
  folder,
  model,
  refs,
  config,
  layout,
  brought,
  found,
}: LoraParts): Promise<Subject> {
  const weights = new Map<string, WeightRef | HostTensor>([
    ...refs,
    ...(brought?.base ?? []),
    ...(found?.weights ?? []),
  ])
  const base = weightReader(weights)
  const start = async (): Promise<ReadonlyMap<string, HostTensor>> => {
    if (brought) return brought.trained
    const seed = settings.initSeed ?? settings.seed
    return await initAdapter(layout, { seed, init: config.init_lora_weights, given: found?.given }, base)
  }
  const converts = found !== undefined && settings.initForm === 'plain' && changesBase(config.init_lora_weights)
  const own: PeftLoraConfig = { ...config, ...layout.savedConfig }
  const saved = converts ? plainConfig(own) : own
  const fa = settings.loraFa ? loraFa(layout.sites, await start()) : undefined
  const rule = groupRuleOf(settings, model, {
    ...(settings.loraPlusRatio === 1 ? {} : loraPlusRule(loraPlusOf(settings, model))),
    holds: ({ id }) => fa?.held.has(id) ?? false,
  })
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
      const written = converts ? plainValues(layout, all, found.given) : all
      await writePeftFolder(target, { config: saved, tensors: await adapterTensorsToSave(layout, written, base), card })
    },
    parameters: countParameters(model),
    notes: [...layout.notes, ...startNotes(config, settings)],
  }
}

/** What a person should know of a start that was taken out of the base. */
function startNotes({ init_lora_weights: init }: PeftLoraConfig, { initForm }: TrainSettings): string[] {
  if (!changesBase(init)) return []
  if (initForm === 'peft')
    return [`${init}: saved in PEFT's own form, which fits only a base that the same start is taken out of again`]
  const kept = `${init}: saved as a plain LoRA of twice the rank, which fits the untouched base`
  if (init !== 'loftq') return [kept]
  return [`${kept}; there its output differs by what quantising the base lost`]
}

function loraPlusOf(settings: TrainSettings, { modules }: Model): LoraPlus {
  const { loraPlusRatio: ratio, loraPlusEmbeddingRate: embeddingRate, learningRate } = settings
  return { ratio, embeddingRate, learningRate, layerNorms: layerNorms(modules) }
}

async function fullSubject(settings: TrainSettings, folder: string, head: HeadSpec): Promise<Subject> {
  const configFile = settings.fromConfig ?? join(folder, 'config.json')
  const opened = settings.fromConfig === undefined ? await openModel(folder, head, settings.newHead) : undefined
  const model = opened?.model ?? (await openConfig(configFile, head))
  const layout = layoutFull(model.modules)
  const anew = redrawn(settings, model)
  const first =
    opened &&
    new Map<string, WeightRef | HostTensor>([...opened.weights, ...freshWeights(opened, settings), ...anew.values])
  const base = first && weightReader(first)
  const trained = trainedOf(model, layout, 0, true, groupRuleOf(settings, model))
  return {
    trained: { ...trained, mixout: mixoutSettings(settings, model) },
    settings,
    folder,
    weights: first && looksBack(settings) ? priorWeights(layout.tensors, first) : new Map(),
    start: async () => {
      if (!base) return initialWeights(model, settings.initSeed ?? settings.seed)
      const values = new Map<string, HostTensor>()
      for (const { id } of layout.tensors) values.set(id, await base(id))
      return values
    },
    write: async (target, values) => {
      await writeSafetensors(
        join(target, 'model.safetensors'),
        new Map(layout.tensors.map(({ id }) => [model.fileName(id), valueById(values, id)])),
        { metadata: { format: 'pt' } },
      )
      await copySmallFiles(dirname(configFile), target)
      const heading = model.classPrefix === undefined ? {} : headConfig(model.classPrefix, head)
      const json: Record<string, unknown> = { ...model.raw.json(), ...heading }
      delete json.torch_dtype
      await writeFileAtomic(join(target, 'config.json'), `${JSON.stringify({ ...json, dtype: 'float32' }, null, 2)}\n`)
    },
    parameters: countParameters(model),
    notes: [...(opened ? freshNotes(opened, settings) : []), ...anew.notes],
  }
}

/** Base tensors the graph will ask for: those that an adapter has its own copy of are left out where nothing else uses them. */
function frozenWeights(weights: WeightSource, layout: AdapterLayout): WeightSource {
  const replaced = new Set(layout.tensors.filter((t) => t.trained && t.role === 'bias').map((t) => t.source))
  return new Map([...weights].filter(([name]) => !replaced.has(name)))
}
