/**
 * @file The updates of an adapter as matrices, by module, and everything else its file holds; and back to the tensors and
 * the config of a file. Needs no base: what an adapter changes stands in its own folder.
 * Must not know files or the base's weights.
 */
import { changesBase } from '../../formats/lora-init.ts'
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import type { LowRank } from '../../linalg/low-rank.ts'
import { type Matrix, matrix } from '../../linalg/matrix.ts'
import { lastSegment } from '../../models/modules.ts'
import { LowrankError } from '../../support/errors.ts'
import { f32, type HostTensor } from '../../tensor/host-tensor.ts'
import { fileKey, idOfKey } from '../keys.ts'
import { asF32 } from '../low-rank-update.ts'
import { siteScale } from '../patterns.ts'
import { EMBEDDING_NAMES } from '../tying.ts'

/** The update of one module: scale · B · A. */
export interface Update extends LowRank {
  readonly path: string
  readonly embedding: boolean
  readonly scale: number
  /** f64[out], on B's output, with lora_bias. */
  readonly bBias?: Float64Array | undefined
}

/** An adapter's file, understood. */
export interface Updates {
  /** How errors name it: its folder. */
  readonly name: string
  readonly config: PeftLoraConfig
  readonly sites: ReadonlyMap<string, Update>
  /** Tensors beside the updates by id: modules saved whole, biases, trained tokens, copies of the base's own. */
  readonly rest: ReadonlyMap<string, HostTensor>
}

const SUFFIXES = {
  '.lora_A.weight': { part: 'a', embedding: false },
  '.lora_B.weight': { part: 'b', embedding: false },
  '.lora_B.bias': { part: 'bBias', embedding: false },
  '.lora_embedding_A': { part: 'a', embedding: true },
  '.lora_embedding_B': { part: 'b', embedding: true },
  '.lora_magnitude_vector': { part: 'magnitude', embedding: false },
} as const

interface Parts {
  a?: HostTensor
  b?: HostTensor
  bBias?: HostTensor
  embedding: boolean
}

/**
 * Reads the updates out of an adapter's tensors.
 * @param tensors by their keys in the file
 * @param magnitudes DoRA's magnitudes may stand beside the updates; without it they are refused
 * @throws LowrankError `unsupported` for updates that are no plain B·A (DoRA, a start taken out of the base,
 * target_parameters); `format` for factors that do not fit each other or the config; `numeric` for values that are not
 * finite. All name the folder and the module.
 */
export function readUpdates(
  { config, tensors }: { config: PeftLoraConfig; tensors: ReadonlyMap<string, HostTensor> },
  name: string,
  { magnitudes = false }: { magnitudes?: boolean } = {},
): Updates {
  refuseOther(config, name, magnitudes)
  const parts = new Map<string, Parts>()
  const rest = new Map<string, HostTensor>()
  for (const [key, tensor] of tensors) {
    const id = idOfKey(key)
    if (id === undefined) throw fault(name, key, `${key} does not begin as PEFT's keys do`)
    const [suffix, what] = Object.entries(SUFFIXES).find(([end]) => id.endsWith(end)) ?? []
    if (suffix === undefined || what === undefined) {
      rest.set(id, tensor)
      continue
    }
    const path = id.slice(0, -suffix.length)
    if (what.part === 'magnitude') rest.set(id, tensor)
    else parts.set(path, { ...parts.get(path), [what.part]: tensor, embedding: what.embedding })
  }
  const sites = new Map([...parts].map(([path, found]) => [path, updateOf(path, found, config, name)]))
  if (sites.size === 0) throw fault(name, undefined, 'it holds no low-rank update (no lora_A and lora_B)')
  return { name, config, sites, rest }
}

function refuseOther(config: PeftLoraConfig, name: string, magnitudes: boolean): void {
  const refuse = (field: string, why: string, suggestion?: string): never => {
    throw new LowrankError('unsupported', `${name}: ${why}`, { file: name, field, suggestion })
  }
  if (config.use_dora && !magnitudes)
    refuse('use_dora', 'DoRA scales the whole weight anew: its update is no sum of B·A', 'merge it into its base')
  if (config.target_parameters !== null && config.target_parameters.length > 0)
    refuse('target_parameters', 'updates of parameters instead of modules cannot be taken apart yet')
  if (changesBase(config.init_lora_weights))
    refuse(
      'init_lora_weights',
      `init_lora_weights ${JSON.stringify(config.init_lora_weights)} is an update of a base with its start taken out`,
      'save it as a plain LoRA, or merge it into its base',
    )
}

function updateOf(path: string, { a, b, bBias, embedding }: Parts, config: PeftLoraConfig, name: string): Update {
  if (!a || !b) throw fault(name, path, `${path} has ${a ? 'lora_A' : b ? 'lora_B' : 'a bias on B'} alone`)
  if (a.shape.length !== 2 || b.shape.length !== 2 || a.shape[0] !== b.shape[1])
    throw fault(name, path, `${path}: A is [${a.shape}] and B is [${b.shape}], which have no rank in common`)
  const { r, scale } = siteScale(config, path)
  if (a.shape[0] !== r)
    throw fault(name, path, `the config says rank ${r} for ${path}, the file holds rank ${a.shape[0]}`)
  const bias = bBias && values(bBias, `${path}.lora_B.bias`, name)
  return {
    path,
    embedding,
    scale,
    a: asMatrix(a, `${path}.lora_A`, name),
    b: asMatrix(b, `${path}.lora_B`, name),
    ...(bias ? { bBias: bias } : {}),
  }
}

function asMatrix(tensor: HostTensor, what: string, name: string): Matrix {
  const [rows = 0, columns = 0] = tensor.shape
  return matrix(rows, columns, values(tensor, what, name))
}

function values(tensor: HostTensor, what: string, name: string): Float64Array {
  const out = Float64Array.from(asF32(tensor, what))
  const bad = out.findIndex((value) => !Number.isFinite(value))
  if (bad < 0) return out
  throw new LowrankError('numeric', `${name}: ${what} holds ${out[bad]}`, { file: name, field: what })
}

function fault(name: string, field: string | undefined, problem: string): LowrankError {
  return new LowrankError('format', `${name}: ${problem}`, { file: name, field })
}

/** The update with its scale in A. */
export function scaled({ a, b, scale }: Update, weight = 1): LowRank {
  return {
    a: matrix(
      a.rows,
      a.columns,
      a.data.map((value) => weight * scale * value),
    ),
    b,
  }
}

/** A new update of a module, of scale 1. */
export interface NewUpdate extends LowRank {
  readonly path: string
  readonly embedding: boolean
  readonly bBias?: Float64Array | undefined
}

/** The tensors of a file. @param rest by id */
export function tensorsOf(
  updates: readonly NewUpdate[],
  rest: ReadonlyMap<string, HostTensor> = new Map(),
): Map<string, HostTensor> {
  const out = new Map<string, HostTensor>()
  for (const { path, embedding, a, b, bBias } of updates) {
    const name = (part: string): string => fileKey(`${path}.lora_${embedding ? `embedding_${part}` : `${part}.weight`}`)
    out.set(name('A'), f32([a.rows, a.columns], a.data))
    out.set(name('B'), f32([b.rows, b.columns], b.data))
    if (bBias) out.set(fileKey(`${path}.lora_B.bias`), f32([bBias.length], bBias))
  }
  for (const [id, tensor] of rest) out.set(fileKey(id), tensor)
  return out
}

type RankFields = Pick<PeftLoraConfig, 'r' | 'lora_alpha' | 'rank_pattern' | 'alpha_pattern' | 'use_rslora'>

/** The fields by which every update has its own rank and the scale 1. */
export function rankFields(
  updates: readonly { readonly path: string; readonly a: Pick<Matrix, 'rows'> }[],
): RankFields {
  const counts = new Map<number, number>()
  for (const { a } of updates) counts.set(a.rows, (counts.get(a.rows) ?? 0) + 1)
  const r = [...counts].reduce((best, next) => (next[1] > best[1] ? next : best), [1, 0])[0]
  const paths = updates.map(({ path }) => path)
  // A pattern speaks of every name that ends with it, unless it is anchored.
  const key = (path: string): string => (paths.some((other) => other.endsWith(`.${path}`)) ? `^${path}` : path)
  const others = Object.fromEntries(updates.flatMap(({ path, a }) => (a.rows === r ? [] : [[key(path), a.rows]])))
  return { r, lora_alpha: r, rank_pattern: others, alpha_pattern: { ...others }, use_rslora: false }
}

/**
 * The fields that no longer hold once updates are made anew: how they started, and that head and embedding share theirs
 * (each then has its own, and is named in full). A copy that both share stays shared.
 */
export function freshFields(all: readonly Pick<Updates, 'config' | 'sites'>[]): Partial<PeftLoraConfig> {
  const tied = all.filter(({ config }) => config.ensure_weight_tying)
  const parted = tied.filter(({ config }) => !sharesCopy(config))
  return {
    init_lora_weights: true,
    eva_config: null,
    loftq_config: {},
    ensure_weight_tying: tied.length > parted.length,
    ...(parted.length > 0 ? namedInFull(all.flatMap(({ sites }) => [...sites.keys()])) : {}),
  }
}

/** Whether `ensure_weight_tying` is about a module that is saved whole. */
function sharesCopy({ modules_to_save }: PeftLoraConfig): boolean {
  return (modules_to_save ?? []).some((name) => EMBEDDING_NAMES.includes(lastSegment(name)))
}

/** The fields that target modules by their full names. */
export function namedInFull(paths: Iterable<string>): Partial<PeftLoraConfig> {
  return { target_modules: [...new Set(paths)], exclude_modules: null, layers_to_transform: null, layers_pattern: null }
}
