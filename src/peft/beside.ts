/**
 * @file What a LoRA adapter trains beside its low-rank updates: biases, whole modules (`modules_to_save`) and rows of
 * an embedding (`trainable_token_indices`), with the keys PEFT 0.21 writes for them.
 * Must not know tensor values, graphs or files.
 */

import { allPaths, lastSegment, type ModuleInfo } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import type { AdapterTensor, TokenRows } from './adapter-layout.ts'
import type { AdapterSite, LayoutOptions } from './method.ts'
import { listSome } from './target-report.ts'

/** Modules that PEFT saves of every classifier, whichever of them it has (PeftModelForSequenceClassification). */
export const CLASSIFIER_HEADS: readonly string[] = ['classifier', 'score']

/** A `modules_to_save` match: the module named, and those under it that hold parameters. */
export interface SavedModule {
  readonly path: string
  readonly leaves: readonly ModuleInfo[]
}

/** PEFT matches `modules_to_save` by the bare end of the name: `norm` also takes `input_layernorm`. */
export function savedModules(
  modules: readonly ModuleInfo[],
  options: LayoutOptions,
  sites: readonly AdapterSite[],
): { modules: SavedModule[]; notes: string[] } {
  const names = options.modules_to_save ?? []
  const paths = allPaths(modules).filter((path) => names.some((name) => path.endsWith(name)))
  const field = 'modules_to_save'
  const within = (path: string, outer: string): boolean => path.startsWith(`${outer}.`)
  for (const path of paths) {
    const outer = paths.find((other) => within(path, other))
    if (outer)
      throw new LowrankError('config', `${field}: takes both ${outer} and ${path} inside it; name one of them`, {
        field,
      })
    const site = sites.find((s) => s.path === path || within(s.path, path))
    if (site)
      throw new LowrankError('config', `${field}: ${path} is trained whole, so ${site.path} cannot be a target too`, {
        field,
        suggestion: `name it from a dot on, or put ${lastSegment(site.path)} in exclude_modules`,
      })
    refuseList(path, modules)
  }
  const all = allPaths(modules)
  const implied = options.task_type === 'SEQ_CLS' || options.task_type === 'TOKEN_CLS' ? CLASSIFIER_HEADS : []
  const notes = [...new Set(names)]
    .filter((name) => !implied.includes(name))
    .filter((name) => !all.some((path) => path.endsWith(name)))
    .map((name) => {
      const close = nearest(name, all.map(lastSegment), 3)
      return `${field}: ${name} matches no module${close.length > 0 ? ` (nearest: ${close.join(', ')})` : ''}`
    })
  const holding = (path: string): ModuleInfo[] => modules.filter((m) => m.path === path || within(m.path, path))
  return { modules: paths.map((path) => ({ path, leaves: holding(path) })), notes }
}

/** PEFT cannot wrap a ModuleList: nobody calls it. */
function refuseList(path: string, modules: readonly ModuleInfo[]): void {
  const below = modules.flatMap((module) =>
    module.path.startsWith(`${path}.`) ? [module.path.slice(path.length + 1)] : [],
  )
  if (below.length === 0 || !below.every((rest) => /^\d+\./.test(rest))) return
  throw new LowrankError('config', `modules_to_save: ${path} is a list of modules, which cannot be trained as one`, {
    field: 'modules_to_save',
    suggestion: `name what it holds, as ${lastSegment(path)}.0`,
  })
}

/** Copies of whole modules. With bias `all` PEFT also writes their biases twice more: the copy's, and the original's. */
export function savedTensors(saved: readonly SavedModule[], allBiases: boolean): AdapterTensor[] {
  return saved.flatMap(({ path, leaves }) =>
    leaves.flatMap((leaf) =>
      leaf.parameters.flatMap(({ name, shape }): AdapterTensor[] => {
        const own = { shape, module: leaf.path, parameter: name, source: `${leaf.tiedTo ?? leaf.path}.${name}` }
        const id = `${leaf.path}.${name}`
        const whole: AdapterTensor = { ...own, id, role: 'saved', trained: true }
        if (!allBiases || name !== 'bias') return [whole]
        const below = id.slice(path.length + 1)
        // The adapter's name is cut from a key only where it stands last but one, so it stays in a deeper one.
        const copy = `${path}.modules_to_save.${leaf.path === path ? '' : 'default.'}${below}`
        return [
          whole,
          { ...own, id: copy, role: 'saved', trained: true, sameAs: id },
          { ...own, id: `${path}.original_module.${below}`, role: 'base', trained: false },
        ]
      }),
    ),
  )
}

/** Base biases that are trained: of the targeted modules, or of all. Those of saved modules come with them. */
export function biasTensors(
  modules: readonly ModuleInfo[],
  bias: 'none' | 'all' | 'lora_only',
  sites: readonly AdapterSite[],
  saved: readonly SavedModule[],
): AdapterTensor[] {
  if (bias === 'none') return []
  const targeted = new Set(sites.map((site) => site.path))
  const copied = new Set(saved.flatMap(({ leaves }) => leaves.map((leaf) => leaf.path)))
  return modules
    .filter(({ path }) => !copied.has(path) && (bias === 'all' || targeted.has(path)))
    .flatMap(({ path, parameters }) =>
      parameters
        .filter(({ name }) => name === 'bias')
        .map(({ name, shape }) => ({
          id: `${path}.${targeted.has(path) ? 'base_layer.' : ''}${name}`,
          role: 'bias' as const,
          shape,
          module: path,
          parameter: name,
          source: `${path}.${name}`,
          trained: true,
        })),
    )
}

/** Which rows of which embeddings are trained, and which tied modules follow them. */
export function tokenRows(
  modules: readonly ModuleInfo[],
  options: LayoutOptions,
  sites: readonly AdapterSite[],
  saved: readonly SavedModule[],
): TokenRows[] {
  const asked = options.trainable_token_indices
  if (asked === undefined || asked === null) return []
  const input = modules.find((module) => module.isInputEmbedding)
  const wanted = isIndexList(asked) ? { [input?.path ?? 'embed_tokens']: asked } : asked
  const followers = modules.filter((module) => module.tiedTo === input?.path).map((module) => module.path)
  const chosen = Object.entries(wanted).map(([name, indices]) => ({ name, indices, found: find(modules, name) }))
  const tiedNames = chosen.filter(({ found }) => found.some((m) => m === input || m.tiedTo === input?.path))
  const agree = tiedNames.every(({ indices }) => String(indices) === String(tiedNames[0]?.indices))
  if (options.ensure_weight_tying && tiedNames.length > 1 && !agree) throw partedTokens(tiedNames)
  const rows: TokenRows[] = []
  for (const { name, indices, found } of chosen) {
    if (agree && tiedNames.length > 1 && followers.includes(name)) continue // follows the embedding
    for (const module of found) {
      checkTokens(module, indices, sites, saved)
      const tied = module === input && agree ? followers : []
      checkFollowers(tied, sites, saved)
      rows.push({ module: module.path, indices, id: `${module.path}.token_adapter.trainable_tokens_delta`, tied })
    }
  }
  return rows
}

function partedTokens(asked: readonly { name: string; indices: readonly number[] }[]): LowrankError {
  const each = asked.map(({ name, indices }) => `${name} ${JSON.stringify(indices)}`).join(' and ')
  return new LowrankError('config', `ensure_weight_tying: tied modules cannot train different tokens, ${each}`, {
    field: FIELD,
  })
}

function isIndexList(asked: NonNullable<LayoutOptions['trainable_token_indices']>): asked is readonly number[] {
  return Array.isArray(asked)
}

const FIELD = 'trainable_token_indices'

function find(modules: readonly ModuleInfo[], name: string): ModuleInfo[] {
  const found = modules.filter((module) => module.path.endsWith(name))
  if (found.length > 0) return found
  const embeddings = modules.filter((m) => m.kind === 'embedding' || m.isOutputHead).map((m) => m.path)
  throw new LowrankError('missing', `${FIELD}: no module is named ${name}`, {
    field: FIELD,
    suggestion: listSome(embeddings),
  })
}

function checkTokens(
  module: ModuleInfo,
  indices: readonly number[],
  sites: readonly AdapterSite[],
  saved: readonly SavedModule[],
): void {
  const fail = (message: string): never => {
    throw new LowrankError('config', `${FIELD}: ${message}`, { field: FIELD })
  }
  if (module.kind !== 'embedding' && !module.isOutputHead)
    fail(`${module.path} is neither an embedding nor the output head`)
  if (sites.some((site) => site.path === module.path)) fail(`${module.path} is a LoRA target already`)
  if (saved.some(({ leaves }) => leaves.includes(module))) fail(`${module.path} is in modules_to_save already`)
  if (indices.length === 0) fail('is empty')
  const tokens = module.parameters.find((parameter) => parameter.name === 'weight')?.shape[0] ?? 0
  const outside = indices.filter((index) => !Number.isInteger(index) || index < 0 || index >= tokens)
  if (outside.length > 0) fail(`${outside.join(', ')}: ${module.path} has tokens 0 to ${tokens - 1}`)
  const twice = indices.filter((index, i) => indices.indexOf(index) !== i)
  if (twice.length > 0) fail(`${twice.join(', ')} stands there twice`)
}

/** A tied head takes the embedding's trained rows. PEFT nests its own adapter or copy into that; lowrank does not yet. */
function checkFollowers(tied: readonly string[], sites: readonly AdapterSite[], saved: readonly SavedModule[]): void {
  for (const path of tied) {
    const targeted = sites.some((site) => site.path === path)
    if (!targeted && !saved.some(({ leaves }) => leaves.some((leaf) => leaf.path === path))) continue
    const other = targeted ? 'a LoRA target' : 'in modules_to_save'
    throw new LowrankError(
      'unsupported',
      `${FIELD}: ${path} shares the embedding's weight and follows its rows; it cannot be ${other} too`,
      { field: FIELD },
    )
  }
}

export function tokenTensors(rows: readonly TokenRows[], modules: readonly ModuleInfo[]): AdapterTensor[] {
  return rows.map(({ module: path, indices, id }) => {
    const module = modules.find((m) => m.path === path)
    const width = module?.parameters.find((parameter) => parameter.name === 'weight')?.shape[1] ?? 0
    const source = `${module?.tiedTo ?? path}.weight`
    const shape = [indices.length, width]
    return { id, role: 'tokens', shape, module: path, parameter: 'weight', source, trained: true }
  })
}
