/**
 * @file From the tensors of an adapter to the keys of its file and back, with every mismatch told in one error.
 * Must not know how files are read. Source: peft/utils/save_and_load.py 0.21.
 */
import type { ModuleInfo } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import { editDistance } from '../support/nearest.ts'
import { collapseLayers } from './layer-ranges.ts'
import type { AdapterLayout, AdapterTensor } from './layout.ts'

/** What PEFT puts before every key: PeftModel holds `base_model` (the tuner), which holds `model` (the base). */
const PREFIX = 'base_model.model.'

/** The file's key of a tensor. */
export function fileKey(id: string): string {
  return PREFIX + id
}

/** The id a file's key would have, `undefined` when it lacks PEFT's prefix. */
export function idOfKey(key: string): string | undefined {
  return key.startsWith(PREFIX) ? key.slice(PREFIX.length) : undefined
}

/** What a file says of a tensor. */
export interface FileTensor {
  readonly name: string
  readonly shape: readonly number[]
}

/** A base parameter that an adapter file brings along: it stands in for the base's own, frozen. */
export interface BaseOverride {
  readonly module: string
  readonly parameter: string
  /** Key in the adapter's file. */
  readonly key: string
}

export interface KeyMatch {
  /** Id of each trained tensor to its key in the file. Twins (`sameAs`) are left out. */
  readonly keys: ReadonlyMap<string, string>
  readonly overrides: readonly BaseOverride[]
}

/**
 * Finds every tensor of a layout in a file.
 * @throws LowrankError `format` naming every missing, unexpected and misshapen tensor, and what they have in common:
 * another rank than the config's, or another base.
 */
export function matchKeys(
  layout: AdapterLayout,
  modules: readonly ModuleInfo[],
  tensors: readonly FileTensor[],
  file?: string,
): KeyMatch {
  const byKey = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const keys = new Map<string, string>()
  const overrides: BaseOverride[] = []
  const problems: Problems = { missing: [], unexpected: [], shapes: [] }
  for (const tensor of layout.tensors) {
    const key = fileKey(tensor.id)
    const found = byKey.get(key)
    byKey.delete(key)
    if (!found) {
      if (tensor.trained && !tensor.sameAs) problems.missing.push(key)
    } else if (String(found.shape) !== String(tensor.shape)) problems.shapes.push({ tensor, found })
    else if (tensor.role === 'base' && !tensor.id.includes('.original_module.'))
      overrides.push({ module: tensor.module, parameter: tensor.parameter ?? 'weight', key })
    else if (tensor.trained && !tensor.sameAs) keys.set(tensor.id, key)
  }
  const parameters = baseParameters(layout, modules)
  for (const found of byKey.values()) {
    const base = parameters.get(found.name)
    if (!base) problems.unexpected.push(found.name)
    else if (String(found.shape) !== String(base.shape)) problems.shapes.push({ tensor: base, found })
    else overrides.push({ module: base.module, parameter: base.parameter ?? 'weight', key: found.name })
  }
  if (problems.missing.length + problems.unexpected.length + problems.shapes.length > 0)
    throw mismatch(problems, layout, modules, file)
  return { keys, overrides }
}

/** Keys under which a file may bring any frozen parameter of the base (PEFT's `save_embedding_layers`). */
function baseParameters(layout: AdapterLayout, modules: readonly ModuleInfo[]): Map<string, AdapterTensor> {
  const sites = new Set(layout.sites.map((site) => site.path))
  const known = new Map<string, AdapterTensor>()
  for (const { path, parameters } of modules)
    for (const { name, shape } of parameters) {
      const id = `${path}.${sites.has(path) ? 'base_layer.' : ''}${name}`
      known.set(fileKey(id), { id, role: 'base', shape, module: path, parameter: name, trained: false })
    }
  return known
}

interface Problems {
  readonly missing: string[]
  readonly unexpected: string[]
  readonly shapes: { tensor: AdapterTensor; found: FileTensor }[]
}

function mismatch(
  problems: Problems,
  layout: AdapterLayout,
  modules: readonly ModuleInfo[],
  file: string | undefined,
): LowrankError {
  const { missing, unexpected, shapes } = problems
  const lines = [
    ...list('missing', missing),
    ...list('unexpected', unexpected),
    ...list(
      'another shape',
      shapes.map(({ tensor, found }) => `${found.name} [${found.shape}] where [${tensor.shape}] is expected`),
    ),
  ]
  return new LowrankError(
    'format',
    [`the adapter does not fit: ${headline(problems, layout, modules)}`, ...lines].join('\n'),
    {
      file,
      field: missing[0] ?? unexpected[0] ?? shapes[0]?.found.name,
      suggestion: suggestion(problems),
    },
  )
}

function list(title: string, names: readonly string[]): string[] {
  return names.length === 0
    ? []
    : [`  ${title} (${names.length}):`, ...collapseLayers(names).map((name) => `    ${name}`)]
}

/** What the mismatches have in common, most telling first. */
function headline(
  { missing, unexpected, shapes }: Problems,
  layout: AdapterLayout,
  modules: readonly ModuleInfo[],
): string {
  const ranks = shapes.flatMap(({ tensor, found }) => rankOf(tensor, found))
  if (shapes.length > 0 && ranks.length === shapes.length) {
    const [first] = ranks
    return `the config says rank ${first?.[0]}, the file holds rank ${first?.[1]} (${ranks.length} tensors)`
  }
  if (unexpected.length > 0 && unexpected.every((key) => idOfKey(key) === undefined))
    return `keys do not begin with ${PREFIX}, as PEFT's do`
  const paths = new Set(modules.map((module) => module.path))
  const foreign = unexpected.filter((key) => !moduleOf(idOfKey(key) ?? key, paths))
  if (foreign.length > 0 && foreign.length === unexpected.length)
    return 'it names modules that this base does not have, so it was made for another base'
  if (shapes.length > 0 && shapes.length >= layout.tensors.length / 2)
    return 'its matrices have other sizes than those of this base, so it was made for another base'
  if (shapes.some(({ tensor }) => tensor.role === 'base')) return 'it brings base weights of another size'
  if (unexpected.length === 0 && shapes.length === 0)
    return `${missing.length} of ${layout.tensors.length} tensors that the config calls for are not in the file`
  if (missing.length === 0 && shapes.length === 0)
    return `the file holds ${unexpected.length} tensors that the config does not call for`
  return 'its config and its tensors disagree'
}

/** The config's rank and the file's, where only the rank differs. */
function rankOf(tensor: AdapterTensor, found: FileTensor): [config: number, file: number][] {
  const [rows = 0, columns = 0] = tensor.shape
  const [foundRows = 0, foundColumns = 0] = found.shape
  if (found.shape.length !== 2) return []
  if (tensor.role === 'lora_A' && columns === foundColumns) return [[rows, foundRows]]
  if (tensor.role === 'lora_B' && rows === foundRows) return [[columns, foundColumns]]
  return []
}

function moduleOf(id: string, paths: ReadonlySet<string>): string | undefined {
  for (let dot = id.lastIndexOf('.'); dot > 0; dot = id.lastIndexOf('.', dot - 1))
    if (paths.has(id.slice(0, dot))) return id.slice(0, dot)
  return undefined
}

/** The closest pair of a missing and an unexpected name: a typo or a rename shows at once. */
function suggestion({ missing, unexpected }: Problems): string | undefined {
  let best: { key: string; close: string; distance: number } | undefined
  const candidates = collapseLayers(missing) // layer by layer the names repeat
  for (const key of collapseLayers(unexpected)) {
    for (const close of candidates) {
      const limit = (best?.distance ?? 9) - 1
      const distance = editDistance(key, close, limit)
      if (distance <= limit) best = { key, close, distance }
    }
  }
  return best && `${best.key} looks like ${best.close}`
}
