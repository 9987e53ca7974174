/**
 * @file Reads and writes the folder of a bottleneck adapter as AdapterHub has it: adapter_config.json, pytorch_adapter.bin,
 * the head's head_config.json and pytorch_model_head.bin, and beside them lowrank's trained.safetensors.
 * Must not know models or graphs. Source: adapters 1.3.0 `configuration/adapter_config.py`, `loading.py`, `utils.py`.
 */
import { join } from 'node:path'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readJson } from '../support/files.ts'
import { isRecord } from '../support/json.ts'
import { nearest } from '../support/nearest.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { ADAPTER_CONFIG } from './adapter-config.ts'
import { dumpsPython, PythonFloat } from './python-json.ts'
import { readSafetensors, writeSafetensors } from './tensor-files.ts'
import { isTorchName, readTorchFile } from './torch-file.ts'
import { writeTorchFile } from './torch-write.ts'

/** In the order in which the library looks, whose `load_adapter` asks for the torch file unless told otherwise. */
const TENSORS = ['pytorch_adapter.bin', 'adapter.safetensors'] as const
const HEAD_TENSORS = ['pytorch_model_head.bin', 'model_head.safetensors'] as const
const HEAD_CONFIG = 'head_config.json'
/** What lowrank trains besides, under Hugging Face's names: LayerNorms and poolers. AdapterHub passes it over. */
export const TRAINED_TENSORS = 'trained.safetensors'
const VERSION = 'adapters.1.3.0'
/** Largest sizes a config may ask for. */
const LARGEST = 2 ** 20

/** An adapter's bottleneck in AdapterHub's words. */
export interface HubBottleneck {
  readonly mh_adapter: boolean
  readonly output_adapter: boolean
  /** Hidden size over the bottleneck's, rounded down: of all layers, or by layer, the others' under `default`. */
  readonly reduction_factor: number | Readonly<Record<string, number>>
  readonly non_linearity: string
  /** The adapter reads the LayerNorm of output plus residual. */
  readonly original_ln_before: boolean
  /** It reads the sublayer's input. */
  readonly is_parallel: boolean
  readonly scaling: number
  readonly init_weights: string
  readonly leave_out: readonly number[]
}

/** adapter_config.json. */
export interface HubConfig {
  readonly name: string
  /** The base, as its maker named it. */
  readonly model_name: string | null
  readonly model_type: string
  readonly model_class: string
  readonly hidden_size: number
  readonly config: HubBottleneck
}

export interface ParsedHubConfig {
  readonly config: HubConfig
  readonly warnings: readonly string[]
}

/** The head beside an adapter: head_config.json. */
export interface HubHead {
  readonly model_class: string
  /** By id. */
  readonly labels: readonly string[]
}

/** Fields with the one value that is computed here, as the library writes them. */
const FIXED = {
  adapter_residual_before_ln: false,
  cross_adapter: false,
  inv_adapter: null,
  ln_after: false,
  ln_before: false,
  original_ln_after: true,
  phm_layer: false,
  residual_before_ln: true,
  stochastic_depth: 0,
  use_gating: false,
} as const

/** Fields that say nothing without a field above that is refused. */
const IDLE = {
  factorized_phm_W: true,
  factorized_phm_rule: false,
  hypercomplex_nonlinearity: 'glorot-uniform',
  init_weights_seed: null,
  inv_adapter_reduction_factor: null,
  learn_phm: true,
  phm_bias: true,
  phm_c_init: 'normal',
  phm_dim: 4,
  phm_init_range: 0.0001,
  phm_rank: 1,
  shared_W_phm: false,
  shared_phm_rule: true,
} as const

/** @throws {LowrankError} `config`, `unsupported`, naming file and field */
export function parseHubConfig(json: unknown, file: string): ParsedHubConfig {
  const outer = new Fields(json, file)
  const inner = new Fields(outer.value('config'), file, 'config')
  if (inner.value('architecture') !== undefined && inner.value('architecture') !== null)
    throw inner.unsupported('architecture', 'only bottleneck adapters are read from this format')
  for (const [field, value] of Object.entries(FIXED)) {
    const held = inner.value(field)
    if (held !== undefined && held !== value) throw inner.unsupported(field, `only ${value} is computed`)
  }
  const config: HubBottleneck = {
    mh_adapter: inner.boolean('mh_adapter'),
    output_adapter: inner.boolean('output_adapter'),
    reduction_factor: inner.factors('reduction_factor'),
    non_linearity: inner.text('non_linearity').toLowerCase(),
    original_ln_before: inner.boolean('original_ln_before', false),
    is_parallel: inner.boolean('is_parallel', false),
    scaling: inner.number('scaling', { fallback: 1 }),
    init_weights: inner.text('init_weights', 'bert'),
    leave_out: inner.wholes('leave_out'),
  }
  const warnings = inner.number('dropout', { fallback: 0 }) > 0 ? ['its dropout acts in training only'] : []
  const known = [...Object.keys(config), ...Object.keys(FIXED), ...Object.keys(IDLE), 'dropout', 'architecture']
  for (const field of inner.names())
    if (!known.includes(field)) warnings.push(`${field} is no field lowrank knows: passed over`)
  const name = outer.text('name')
  return {
    config: {
      name,
      model_name: outer.text('model_name', '') || null,
      model_type: outer.text('model_type'),
      model_class: outer.text('model_class', ''),
      hidden_size: outer.number('hidden_size', { above: 0, max: LARGEST }),
      config,
    },
    warnings,
  }
}

/**
 * adapter_config.json as the library writes it, byte for byte: sorted, with the fields that say nothing. It asks for a
 * scaling that is a float, and refuses a whole number.
 */
export function serializeHubConfig({ config, model_name, ...outer }: HubConfig): string {
  const floats = { scaling: new PythonFloat(config.scaling), dropout: ZERO, stochastic_depth: ZERO }
  const inner = { ...FIXED, ...IDLE, ...config, ...floats }
  return dumpsPython({ ...outer, model_name: model_name ?? '', config: inner, version: VERSION })
}

const ZERO = new PythonFloat(0)

export interface HubFolder extends ParsedHubConfig {
  /** Of the adapter, by their keys there. */
  readonly tensors: ReadonlyMap<string, HostTensor>
  /** Of the head and of what lowrank trained besides, by Hugging Face names. */
  readonly trained: ReadonlyMap<string, HostTensor>
}

/** @throws {LowrankError} `missing`, `format`, `config`, `unsupported`, naming the file */
export async function readHubFolder(folder: string): Promise<HubFolder> {
  const file = join(folder, ADAPTER_CONFIG)
  const parsed = parseHubConfig(await readJson(file), file)
  const [own = '', ...besides] = await hubTensorFiles(folder)
  const held: [string, HostTensor][] = []
  for (const path of besides) held.push(...(await readTensors(path)))
  // The library's own heads have names of theirs, which no Hugging Face model has.
  const named = held.filter(([name]) => !name.startsWith('heads.'))
  const passed = named.length < held.length ? ["the head beside it is one of AdapterHub's own: passed over"] : []
  const warnings = [...parsed.warnings, ...passed]
  return { config: parsed.config, warnings, tensors: await readTensors(own), trained: new Map(named) }
}

/** The head that stands beside an adapter; undefined where there is none of Hugging Face's classes. */
export async function readHubHead(folder: string): Promise<HubHead | undefined> {
  const file = join(folder, HEAD_CONFIG)
  if ((await pathKind(file)) !== 'file') return undefined
  const fields = new Fields(await readJson(file), file)
  if (fields.value('config') !== null && fields.value('config') !== undefined) return undefined
  const ids = fields.value('label2id')
  const named = isRecord(ids) ? Object.entries(ids) : []
  const labels: string[] = []
  for (const [label, id] of named) if (typeof id === 'number' && id >= 0 && id < named.length) labels[id] = label
  if (Object.keys(labels).length !== named.length)
    throw new LowrankError('config', `${file}: label2id must name ids 0 to ${named.length - 1}, each once`, {
      ...{ file, field: 'label2id' },
    })
  return { model_class: fields.text('model_class', ''), labels }
}

export interface NewHubFolder {
  readonly config: HubConfig
  readonly tensors: ReadonlyMap<string, HostTensor>
  readonly head: { readonly labels: readonly string[]; readonly tensors: ReadonlyMap<string, HostTensor> }
  readonly trained: ReadonlyMap<string, HostTensor>
}

/** Writes an adapter into an existing folder, the configuration last. @throws {LowrankError} `io` */
export async function writeHubFolder(folder: string, { config, tensors, head, trained }: NewHubFolder): Promise<void> {
  await writeTorchFile(join(folder, TENSORS[0]), tensors)
  if (trained.size > 0) await writeSafetensors(join(folder, TRAINED_TENSORS), trained)
  if (head.tensors.size > 0) {
    const { config: _, ...outer } = config
    const json = {
      ...{ ...outer, name: null, config: null, model_name: config.model_name ?? '', version: VERSION },
      label2id: Object.fromEntries(head.labels.map((label, id) => [label, id])),
      num_labels: head.labels.length,
    }
    await writeTorchFile(join(folder, HEAD_TENSORS[0]), head.tensors)
    await writeFileAtomic(join(folder, HEAD_CONFIG), dumpsPython(json))
  }
  await writeFileAtomic(join(folder, ADAPTER_CONFIG), serializeHubConfig(config))
}

/** @throws {LowrankError} `missing` */
export async function hubTensorFiles(folder: string): Promise<string[]> {
  const file = await firstFile(folder, TENSORS)
  const besides = [await firstFile(folder, HEAD_TENSORS), await firstFile(folder, [TRAINED_TENSORS])]
  if (file !== undefined) return [file, ...besides.filter((one) => one !== undefined)]
  throw new LowrankError('missing', `${folder} has no ${TENSORS.join(' and no ')}`, { file: folder })
}

async function firstFile(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) if ((await pathKind(join(folder, name))) === 'file') return join(folder, name)
  return undefined
}

async function readTensors(file: string): Promise<Map<string, HostTensor>> {
  return await (isTorchName(file) ? readTorchFile : readSafetensors)(file, { as: 'f32' })
}

/** Fields of a JSON object, each checked as it is read. */
class Fields {
  readonly #record: Readonly<Record<string, unknown>>
  readonly #file: string

  constructor(json: unknown, file: string, field?: string) {
    if (!isRecord(json))
      throw new LowrankError('config', `${file}${field ? `: ${field}` : ''} must be an object`, { file, field })
    this.#record = json
    this.#file = file
  }

  names(): string[] {
    return Object.keys(this.#record)
  }

  value(name: string): unknown {
    return Object.hasOwn(this.#record, name) ? this.#record[name] : undefined
  }

  text(name: string, fallback?: string): string {
    const value = this.value(name) ?? fallback
    if (typeof value === 'string' && (value !== '' || fallback === '')) return value
    throw this.#fault(name, 'must be a text')
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.value(name) ?? fallback
    if (typeof value === 'boolean') return value
    throw this.#fault(name, 'must be true or false')
  }

  number(name: string, bounds: { above?: number; max?: number; fallback?: number } = {}): number {
    const { above = Number.NEGATIVE_INFINITY, max = LARGEST, fallback } = bounds
    const value = this.value(name) ?? fallback
    if (typeof value === 'number' && value > above && value <= max) return value
    throw this.#fault(name, `must be a number${above === 0 ? ' above 0' : ''}`)
  }

  /** A number above 0, or such numbers by layer and `default`. */
  factors(name: string): number | Record<string, number> {
    const value = this.value(name)
    if (!isRecord(value)) return this.number(name, { above: 0 })
    const isFactor = (one: unknown): one is number => typeof one === 'number' && one > 0 && one <= LARGEST
    const entries = Object.entries(value)
    const isFit = entries.every(([layer, factor]) => /^(default|0|[1-9]\d{0,3})$/.test(layer) && isFactor(factor))
    if (isFit && entries.length > 0) return Object.fromEntries(entries) as Record<string, number>
    throw this.#fault(name, 'must be a number above 0, or such numbers by layer and "default"')
  }

  /** Layers; absent and null are none. */
  wholes(name: string): number[] {
    const value = this.value(name) ?? []
    const all: unknown[] = Array.isArray(value) ? value : ['']
    const numbers = all.filter((one) => typeof one === 'number' && Number.isInteger(one) && one >= 0) as number[]
    if (numbers.length === all.length) return numbers
    throw this.#fault(name, 'must be a list of layers')
  }

  unsupported(name: string, why: string): LowrankError {
    const message = `${this.#file}: ${name} is ${JSON.stringify(this.value(name))}: ${why}`
    return new LowrankError('unsupported', message, { file: this.#file, field: name })
  }

  #fault(name: string, what: string): LowrankError {
    const held = this.value(name)
    const shown = held === undefined ? 'is missing' : `is ${JSON.stringify(held)}`
    const [near] = held === undefined ? nearest(name, this.names()) : []
    const suggestion = near === undefined ? undefined : `the nearest field there is ${near}`
    return new LowrankError('config', `${this.#file}: ${name} ${shown}, and ${what}`, {
      ...{ file: this.#file, field: name, suggestion },
    })
  }
}
