/**
 * @file Adapters that are none of PEFT's, between their folders and an open encoder: AdapterHub's bottlenecks, and trained
 * parts (bitfit, ln-tuning, head). Must not know verbs, training or engines.
 */
import { join } from 'node:path'
import { ADAPTER_CONFIG } from '../formats/adapter-config.ts'
import { type AdapterConfig, readAdapterConfig } from '../formats/adapter-folder.ts'
import { readHubFolder, TRAINED_TENSORS, writeHubFolder } from '../formats/adapterhub.ts'
import { readPartsFolder, writePartsFolder } from '../formats/parts-folder.ts'
import { headConfig } from '../formats/task.ts'
import { readTensor } from '../formats/tensor-files.ts'
import type { Model } from '../models/model.ts'
import type { AdapterTensor } from '../peft/adapter-layout.ts'
import { bottleneckOfHub, hubKey, hubOfBottleneck, methodOfBottleneck } from '../peft/hub-bottleneck.ts'
import { asF32 } from '../peft/low-rank-update.ts'
import { isBottleneck, layoutParts, type PartsLayout, type PartsMethod } from '../peft/parts-layout.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { type HostTensor, tensor } from '../tensor/host-tensor.ts'
import type { OpenModel } from './open-model.ts'

export interface PartsAdapter {
  /** Absent for a bottleneck whose place and reading are no method's of lowrank: it can be used, not trained on. */
  readonly method: PartsMethod | undefined
  readonly layout: PartsLayout
  /** Values by id, f32; AdapterHub's own folders lack the LayerNorms and poolers, which are then the base's. */
  readonly values: ReadonlyMap<string, HostTensor>
  readonly warnings: readonly string[]
}

/** The name under which adapters are saved: AdapterHub's keys hold one. */
const NAME = 'lowrank'

/**
 * Reads such a folder onto a model.
 * @param deviation of Houlsby's start, which no file says
 * @param headed what is taken in place of the trained tensors of the file, by the model's names: another head
 * @throws LowrankError `missing`, `format`, `config`, `unsupported` naming file and field
 */
export async function readPartsAdapter(
  model: Model,
  folder: string,
  deviation: number,
  headed: (trained: Tensors) => Tensors = (trained) => trained,
): Promise<PartsAdapter> {
  const adapter = await readAdapterConfig(folder)
  if (adapter.kind === 'peft') throw new LowrankError('config', `${folder} is one of PEFT's`, { file: folder })
  checkBase(model, adapter, folder)
  if (adapter.kind === 'adapterhub') return await readHub(model, folder, deviation, headed)
  const { method } = adapter.config
  const layout = layoutParts(model, method)
  const { trained } = await readPartsFolder(folder)
  const source = { file: join(folder, TRAINED_TENSORS), tensors: headed(trained) }
  return { method, layout, values: take(layout.tensors, source, ({ id }) => id, true), warnings: [] }
}

type Tensors = ReadonlyMap<string, HostTensor>

async function readHub(
  model: Model,
  folder: string,
  deviation: number,
  headed: (trained: Tensors) => Tensors,
): Promise<PartsAdapter> {
  const { config, tensors, trained, warnings } = await readHubFolder(folder)
  const file = join(folder, ADAPTER_CONFIG)
  const bottleneck = bottleneckOfHub(config.config, model.config.hiddenSize, deviation, file)
  const method = methodOfBottleneck(bottleneck)
  const layout = layoutParts(model, method ?? 'houlsby', bottleneck)
  const own = layout.tensors.filter(({ role }) => role === 'own')
  const rest = layout.tensors.filter(({ role }) => role !== 'own')
  // The library leaves the base's prefix out where the adapter was made on a model without a head.
  const bare = ![...tensors.keys()].some((key) => key.startsWith(`${model.prefix}.`))
  const keyOf = ({ id }: AdapterTensor): string => {
    const key = hubKey(id, config.name)
    return bare ? key.slice(model.prefix.length + 1) : key
  }
  const values = new Map([
    ...take(own, { file: folder, tensors }, keyOf, true),
    ...take(rest, { file: folder, tensors: headed(trained) }, ({ id }) => id, false),
  ])
  return { method, layout, values, warnings }
}

/** An adapter of another base: said by name, before its tensors fail to fit. */
function checkBase({ modelType, config, sublayers }: Model, adapter: AdapterConfig, folder: string): void {
  const file = join(folder, ADAPTER_CONFIG)
  if (adapter.kind === 'peft') return
  if (sublayers.length === 0)
    throw notEncoder(modelType, adapter.kind === 'parts' ? adapter.config.method : 'this adapter')
  const { model_type: made } = adapter.config
  if (made !== modelType)
    throw new LowrankError('config', `${file}: the adapter was made for ${made}, and the model is ${modelType}`, {
      ...{ file, field: 'model_type', suggestion: 'name the model that the adapter was made for' },
    })
  if (adapter.kind !== 'adapterhub' || adapter.config.hidden_size === config.hiddenSize) return
  const message = `${file}: hidden_size is ${adapter.config.hidden_size}, and the model's ${config.hiddenSize}`
  throw new LowrankError('config', message, { file, field: 'hidden_size' })
}

export function notEncoder(modelType: string, method: string): LowrankError {
  return new LowrankError('unsupported', `${method} is a method for encoders, and ${modelType} is a decoder`, {
    field: 'method',
    suggestion: 'lora',
  })
}

interface Source {
  readonly file: string
  readonly tensors: ReadonlyMap<string, HostTensor>
}

/** Every tensor of the layout under its key; what else the file holds has no place in the model. */
function take(
  wanted: readonly AdapterTensor[],
  { file, tensors }: Source,
  keyOf: (tensor: AdapterTensor) => string,
  all: boolean,
): Map<string, HostTensor> {
  const found = new Map<string, HostTensor>()
  const keys = new Map(wanted.map((one) => [keyOf(one), one]))
  for (const [key, { id, shape }] of keys) {
    const held = tensors.get(key)
    const fail = (what: string): never => {
      const [near] = nearest(key, tensors.keys())
      const suggestion = held || near === undefined ? undefined : `the nearest name there is ${near}`
      throw new LowrankError('format', `${file}: ${key} ${what}`, { file, field: key, suggestion })
    }
    if (!held && all) fail('is missing')
    if (!held) continue
    if (String(held.shape) !== String(shape)) fail(`is [${held.shape}], and the model needs [${shape}]`)
    found.set(id, tensor('f32', held.shape, asF32(held, key)))
  }
  for (const key of tensors.keys())
    if (!keys.has(key))
      throw new LowrankError('format', `${file} holds ${key}, which has no place in this model`, { file, field: key })
  return found
}

/**
 * The adapter as it is used: whole modules that are the base's own are left to the base, so that an adapter which is
 * bottlenecks alone can be weighed by row.
 * @throws LowrankError `format` for what neither the adapter nor the base has
 */
export async function usedParts(
  { layout, values }: Pick<PartsAdapter, 'layout' | 'values'>,
  { weights }: Pick<OpenModel, 'weights'>,
  folder: string,
): Promise<Pick<PartsAdapter, 'layout' | 'values'>> {
  const tensors: AdapterTensor[] = []
  for (const one of layout.tensors) {
    const [held, ref] = [values.get(one.id), weights.get(one.id)]
    if (!held && !ref)
      throw new LowrankError('format', `${folder} has no ${one.id}, and neither has the base`, {
        ...{ file: folder, field: one.id, suggestion: 'name a model that has it' },
      })
    if (!held || (ref && one.role === 'saved' && sameValues(held, await readTensor(ref, { as: 'f32' })))) continue
    tensors.push(one)
  }
  return { layout: { ...layout, tensors }, values }
}

function sameValues(a: HostTensor, b: HostTensor): boolean {
  return a.data.length === b.data.length && a.data.every((value, i) => value === b.data[i])
}

export interface NewPartsAdapter {
  readonly model: Model
  readonly method: PartsMethod
  readonly layout: PartsLayout
  /** As its user named it. */
  readonly base: string | null
}

/** Writes what a method trained, as its readers expect it. @throws LowrankError `io` */
export async function writePartsAdapter(
  folder: string,
  { model, method, layout, base }: NewPartsAdapter,
  values: ReadonlyMap<string, HostTensor>,
): Promise<void> {
  const named = (wanted: (tensor: AdapterTensor) => boolean): Map<string, HostTensor> =>
    new Map(
      layout.tensors.filter(wanted).flatMap((one): [string, HostTensor][] => {
        const value = values.get(one.id)
        return value ? [[one.id, value]] : []
      }),
    )
  const { modelType: model_type, prefix, classPrefix = '', spec } = model
  if (!isBottleneck(method)) {
    const config = { method, base_model_name_or_path: base, model_type }
    return await writePartsFolder(folder, { config, trained: named(() => true) })
  }
  const { hiddenSize: hidden_size } = model.config
  const [model_class = `${classPrefix}Model`] = asTexts(headConfig(classPrefix, spec).architectures)
  const isHead = ({ id, role }: AdapterTensor): boolean => role !== 'own' && !id.startsWith(`${prefix}.`)
  invariant(layout.bottlenecks, `${method} has bottlenecks`)
  const config = hubOfBottleneck(layout.bottlenecks.config, hidden_size)
  await writeHubFolder(folder, {
    config: { name: NAME, model_name: base, model_type, model_class, hidden_size, config },
    tensors: new Map([...named(({ role }) => role === 'own')].map(([id, value]) => [hubKey(id, NAME), value])),
    head: { labels: spec.labels, tensors: named(isHead) },
    trained: named((one) => one.role !== 'own' && !isHead(one)),
  })
}

function asTexts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}
