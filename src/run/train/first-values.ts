/**
 * @file Starts that are found before training begins: those that take the adapter's first product out of the base
 * (PiSSA, OLoRA, LoftQ), and EVA, which looks at the rows. Must not know the loop or terminals.
 */
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Dataset } from '../../data/dataset.ts'
import { type Engine, isWeightRef, type WeightSource } from '../../engine/engine.ts'
import { ADAPTER_CONFIG } from '../../formats/adapter-config.ts'
import { changesBase, EVA_DEFAULTS, needsRows } from '../../formats/lora-init.ts'
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import { readPeftFolder, writePeftFolder } from '../../formats/peft-folder.ts'
import {
  readSafetensorsHeader,
  readTensor,
  refOf,
  type WeightRef,
  writeSafetensors,
} from '../../formats/tensor-files.ts'
import type { Model } from '../../models/causal-lm.ts'
import { distributeRanks, evaConfigOf, evaFactors } from '../../peft/inits/eva.ts'
import type { FirstFactors } from '../../peft/inits/plain-lora.ts'
import { type Factors, splitWeight } from '../../peft/inits/split-weight.ts'
import { fileKey } from '../../peft/keys.ts'
import type { AdapterLayout } from '../../peft/layout.ts'
import { type AdapterSite, idAt } from '../../peft/method.ts'
import { invariant, LowrankError } from '../../support/errors.ts'
import { makeFolder, pathKind } from '../../support/files.ts'
import type { HostTensor, TypedTensor } from '../../tensor/host-tensor.ts'
import { inputComponents } from '../../train/input-components.ts'
import type { NoticeEvent, ProgressEvent } from '../types.ts'

/** What was found: laid over the config, the base and the first draw. */
export interface FirstValues {
  readonly config: PeftLoraConfig
  readonly given: FirstFactors
  /** Base tensors that changed, by the model's names. */
  readonly weights: ReadonlyMap<string, WeightRef>
}

/** What finding them takes. */
export interface FirstValuesContext {
  readonly engine: Engine
  readonly threads?: number | undefined
  readonly rows: Dataset
  readonly batchSize: number
  /** The run's folder: what is left of the base lies there while it is trained, EVA's choice for a run that goes on. */
  readonly folder: string
  readonly signal: AbortSignal
  emit(event: NoticeEvent | ProgressEvent): void
}

export interface AdapterOnModel {
  readonly model: Model
  readonly weights: WeightSource
  readonly layout: AdapterLayout
  readonly config: PeftLoraConfig
}

/** Base tensors without the adapter's start, while a run trains on them. */
const LEFT_FILE = 'base-without-start.safetensors'
/** A PEFT folder of what EVA chose. */
const INITIAL = 'initial'

/** Whether an adapter of this config has something to find. */
export function findsFirstValues({ init_lora_weights: init }: PeftLoraConfig): boolean {
  return changesBase(init) || needsRows(init)
}

/**
 * What can be told without looking at a weight or a row.
 * @throws LowrankError `config`: a weight that other modules share; no module whose inputs EVA could look at
 */
export function checkFirstValues(on: Omit<AdapterOnModel, 'weights'>): void {
  const { init_lora_weights: init } = on.config
  if (changesBase(init)) splitSites(on)
  if (needsRows(init) && on.layout.sites.every(({ kind }) => kind === 'embedding'))
    throw new LowrankError(
      'config',
      `init_lora_weights ${init} looks at what reaches linear layers, and none is targeted`,
      {
        field: 'init',
      },
    )
}

/** @throws LowrankError naming the module whose weight does not do; `data`; `stopped` */
export async function findFirstValues(on: AdapterOnModel, context: FirstValuesContext): Promise<FirstValues> {
  return changesBase(on.config.init_lora_weights) ? await splitBase(on, context) : await eva(on, context)
}

/** Takes away what lies in the run's folder for the time of training. */
export async function forgetFirstValues(folder: string): Promise<void> {
  await rm(join(folder, LEFT_FILE), { force: true })
}

/** The sites whose weight is split, with the base tensor each reads. An embedding starts as ever. */
export function splitSites({
  model,
  layout,
  config,
}: Omit<AdapterOnModel, 'weights'>): { site: AdapterSite; source: string }[] {
  const init = config.init_lora_weights
  const readers = new Map<string, string[]>()
  for (const { path, tiedTo } of model.modules) {
    const owner = tiedTo ?? path
    readers.set(owner, [...(readers.get(owner) ?? []), path])
  }
  return layout.sites.flatMap((site) => {
    if (site.kind === 'embedding') return []
    const owner = site.tiedTo ?? site.path
    const others = (readers.get(owner) ?? []).filter((path) => path !== site.path)
    if (others.length > 0)
      throw new LowrankError(
        'config',
        `init_lora_weights ${init} would change the weight of ${site.path}, which ${others.join(', ')} shares`,
        { field: 'init', suggestion: `leave ${site.path} out of the targets` },
      )
    return [{ site, source: `${owner}.weight` }]
  })
}

async function splitBase(on: AdapterOnModel, context: FirstValuesContext): Promise<FirstValues> {
  const { config, weights } = on
  const sites = splitSites(on)
  const given = new Map<string, Factors>()
  const label = `take the ${config.init_lora_weights} start out of the base`
  const left = sites.map(({ site, source }) => {
    const weight = weights.get(source)
    invariant(weight, `the base has no tensor ${source}`)
    const data = async (): Promise<HostTensor> => {
      if (context.signal.aborted) throw new LowrankError('stopped', `${label}: stopped`)
      const found = splitWeight(site, await stored(weight), splitOptions(config))
      given.set(site.path, { a: found.a, b: found.b })
      context.emit({ type: 'progress', label, done: given.size, total: sites.length, unit: 'tensors' })
      return found.left
    }
    return { name: source, dtype: weight.dtype, shape: weight.shape, data }
  })
  const file = resolve(context.folder, LEFT_FILE) // engines know no working folder
  await writeSafetensors(file, left, { signal: context.signal })
  const { entries } = await readSafetensorsHeader(file)
  return { config, given, weights: new Map([...entries.values()].map((entry) => [entry.name, refOf(file, entry)])) }
}

/** How a config's start splits a weight. */
export function splitOptions(config: PeftLoraConfig): Parameters<typeof splitWeight>[2] {
  return { init: String(config.init_lora_weights), loftqIterations: config.loftq_config.loftq_iter ?? 1 }
}

async function stored(weight: WeightRef | HostTensor): Promise<HostTensor> {
  return isWeightRef(weight) ? await readTensor(weight) : weight
}

/** EVA's choice is kept in the run's folder, so that a run that goes on need not look again. */
async function eva(on: AdapterOnModel, context: FirstValuesContext): Promise<FirstValues> {
  const folder = join(context.folder, INITIAL)
  if ((await pathKind(join(folder, ADAPTER_CONFIG))) === 'file') return await readEva(folder)
  const settings = on.config.eva_config ?? EVA_DEFAULTS
  const sites = on.layout.sites.filter(({ kind }) => kind !== 'embedding')
  const { inputs, settled } = await inputComponents(on.model, sites, {
    ...context,
    weights: on.weights,
    rho: settings.rho,
    tau: settings.tau,
    labelledOnly: settings.use_label_mask,
    onBatch: (done, total) => context.emit({ type: 'progress', label: 'components of the inputs (eva)', done, total }),
  })
  if (!settled)
    context.emit({
      type: 'notice',
      message: `eva: not every component had stopped turning (tau ${settings.tau}); they are taken as they are`,
    })
  const ranks = distributeRanks(inputs)
  const given = evaFactors(inputs, ranks, settings.whiten)
  const config = evaConfigOf(on.config, on.layout.sites, ranks, settings)
  const gone = [...ranks.values()].filter((rank) => rank === 0).length
  const spread = [...ranks.values()].sort((a, b) => a - b)
  context.emit({
    type: 'notice',
    message: `eva: ranks from ${spread[0]} to ${spread.at(-1)}, ${gone} of ${ranks.size} modules without an adapter`,
  })
  await writeEva(folder, config, on.layout.sites, given)
  return { config, given, weights: new Map() }
}

async function writeEva(
  folder: string,
  config: PeftLoraConfig,
  sites: readonly AdapterSite[],
  given: FirstFactors,
): Promise<void> {
  const tensors = new Map<string, HostTensor>()
  for (const site of sites) {
    const found = given.get(site.path)
    if (found) tensors.set(fileKey(idAt(site, 'a')), found.a).set(fileKey(idAt(site, 'b')), found.b)
  }
  await makeFolder(folder)
  await writePeftFolder(folder, { config, tensors })
}

async function readEva(folder: string): Promise<FirstValues> {
  const { config, tensors } = await readPeftFolder(folder)
  const of = (path: string, part: 'A' | 'B'): TypedTensor<'f32'> => {
    const value = tensors.get(fileKey(`${path}.lora_${part}.weight`))
    if (value?.dtype === 'f32') return value
    throw new LowrankError('format', `${folder} holds no lora_${part} of ${path}`, { file: folder, field: path })
  }
  const paths = [...tensors.keys()].flatMap((key) => {
    const path = /^base_model\.model\.(.*)\.lora_A\.weight$/.exec(key)?.[1]
    return path === undefined ? [] : [path]
  })
  return {
    config,
    given: new Map(paths.map((path) => [path, { a: of(path, 'A'), b: of(path, 'B') }])),
    weights: new Map(),
  }
}
