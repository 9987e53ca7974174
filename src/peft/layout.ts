/**
 * @file The layout of an adapter on a model: where it sits, what its method makes of each site, and every tensor it
 * trains or that PEFT writes beside (peft/utils/save_and_load.py, `get_peft_model_state_dict`, 0.21).
 * Must not know tensor values, graphs or files.
 */

import { isSite, type ModuleInfo, type SiteModule } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import type { AdapterLayout, AdapterTensor, SavedConfig } from './adapter-layout.ts'
import { biasTensors, savedModules, savedTensors, tokenRows, tokenTensors } from './beside.ts'
import { looseNotes } from './loose-names.ts'
import type { AdapterSite, LayoutOptions, Method, SitePlan } from './method.ts'
import { loraParameter } from './methods/lora-parameter.ts'
import { methodOf } from './methods/registry.ts'
import { pythonFullMatch, pythonMatch } from './python-regex.ts'
import { describeMisses } from './target-report.ts'
import { resolveTargets, type TargetResolution } from './targets.ts'
import { EMBEDDING_NAMES, refuseTiedTargets, type Tying, tiedCopies, tiedSite, tyingOf } from './tying.ts'

export type { AdapterLayout, AdapterTensor, SavedConfig, TokenRows } from './adapter-layout.ts'
export type { AdapterSite, LayoutOptions, TensorRole } from './method.ts'

export interface LayoutContext {
  /** Default targets follow from it where the config names none. */
  readonly modelType?: string | undefined
  /** An adapter that exists may have any rank; a new one may not exceed the matrix. */
  readonly loaded?: boolean | undefined
  /** @default the method that `peft_type` names */
  readonly method?: Method | undefined
}
/**
 * Lays an adapter on a model.
 * @throws LowrankError `config` or `missing`, naming the field and the module, when the config cannot be meant.
 */
export function layoutAdapter(
  modules: readonly ModuleInfo[],
  given: LayoutOptions,
  context: LayoutContext = {},
): AdapterLayout {
  const tying = tyingOf(modules, given)
  const { options } = tying
  const targets = resolveTargets(modules, options, context.modelType)
  const planned = planSites(modules, targets, tying, context)
  const sites = planned.map(({ site }) => site)
  refuseTiedTargets(tying, sites)
  const saved = savedModules(modules, options, sites)
  const tokens = tokenRows(modules, options, sites, saved.modules)
  const tensors = [
    ...planned.flatMap((one) => one.tensors),
    ...biasTensors(modules, options.bias ?? 'none', sites, saved.modules),
    ...savedTensors(saved.modules, options.bias === 'all'),
    ...(tying.shares === 'copy' ? tiedCopies(tying) : []),
    ...tokenTensors(tokens, modules),
    ...embeddingCopies(modules, options, targets, sites),
  ]
  return {
    sites,
    tensors,
    tokens,
    targets,
    savedConfig: savedConfig(targets, tying),
    invocation: invocationOf(modules, options, sites),
    tiesHeads: tying.shares !== undefined,
    notes: [
      ...(context.loaded ? [] : looseNotes(modules, options)),
      ...tying.notes,
      ...describeMisses(targets),
      ...planned.flatMap(({ notes }) => notes),
      ...saved.notes,
    ],
  }
}

interface PlannedSite {
  readonly site: AdapterSite
  readonly tensors: readonly AdapterTensor[]
  readonly notes: readonly string[]
}

/** Every site in the order of the model: modules by their method, parameters, heads that share the embedding's factors. */
function planSites(
  modules: readonly ModuleInfo[],
  { sites, parameterSites }: TargetResolution,
  { options, shares, embedding, heads }: Tying,
  { method = methodOf(options.peft_type), loaded = false }: LayoutContext,
): PlannedSite[] {
  const plan = (module: SiteModule, how: Method): PlannedSite => {
    const made = how.plan(module, options, loaded)
    const site = siteOf(how, module, made)
    return { site, tensors: siteTensors(site, made), notes: made.notes ?? [] }
  }
  const tied = shares === 'factors' ? heads.filter(isSite) : []
  const planned = [
    ...sites.filter((module) => !tied.some(({ path }) => path === module.path)).map((module) => plan(module, method)),
    ...parameterSites.map((module) => plan(module, loraParameter)),
  ]
  const conv1d = parameterSites.length > 0 && sites.find(({ kind }) => kind === 'conv1d')
  if (conv1d) throw besideConv1d(conv1d)
  const source = planned.find(({ site }) => site.path === embedding?.path)?.site
  if (tied.length > 0 && !source)
    throw new LowrankError(
      'config',
      `ensure_weight_tying: ${embedding?.path} gets no adapter that a head could share`,
      {
        field: 'ensure_weight_tying',
      },
    )
  for (const head of source ? tied : []) {
    const { site, tensors, notes } = plan(head, method)
    if (source) planned.push({ ...tiedSite(source, site, tensors), notes })
  }
  const order = new Map(modules.map(({ path }, i) => [path, i]))
  return planned.sort((a, b) => (order.get(a.site.path) ?? 0) - (order.get(b.site.path) ?? 0))
}

/** PEFT sets fan_in_fan_out for a Conv1D, and then refuses its own config for the parameters. */
function besideConv1d({ path }: SiteModule): LowrankError {
  const message = `target_parameters: cannot be used with a Conv1D among target_modules, which ${path} is`
  return new LowrankError('config', message, { field: 'target_parameters', suggestion: `name ${path}.weight instead` })
}

function savedConfig(
  { sites, savedTargets, layersApplied }: TargetResolution,
  { options, shares, heads }: Tying,
): SavedConfig {
  // PEFT sets fan_in_fan_out at each layer it wraps, tied heads last: the last one is saved.
  const linear = [...sites, ...(shares === 'factors' ? heads : [])].filter(({ kind }) => kind !== 'embedding').at(-1)
  return {
    target_modules: savedTargets,
    ...(shares === 'copy' ? { modules_to_save: options.modules_to_save ?? null } : {}),
    fan_in_fan_out: linear ? linear.kind === 'conv1d' : (options.fan_in_fan_out ?? false),
    ...(layersApplied ? { layers_to_transform: null, layers_pattern: null } : {}),
  }
}

/** Tokens that activate the adapter. @throws LowrankError `config` where PEFT has no activated update, or for unknown tokens */
function invocationOf(
  modules: readonly ModuleInfo[],
  options: LayoutOptions,
  sites: readonly AdapterSite[],
): readonly number[] | undefined {
  const tokens = options.alora_invocation_tokens ?? undefined
  if (!tokens) return undefined
  const field = 'alora_invocation_tokens'
  const embedding = sites.find((site) => site.kind === 'embedding')
  if (embedding)
    throw new LowrankError('config', `${field}: activated LoRA sits on linear layers, not on ${embedding.path}`, {
      field,
    })
  const known = modules.find((module) => module.isInputEmbedding)?.inFeatures ?? Number.POSITIVE_INFINITY
  const unknown = tokens.find((token) => token >= known)
  if (unknown !== undefined)
    throw new LowrankError('config', `${field}: ${unknown}: the model has tokens 0 to ${known - 1}`, { field })
  return tokens
}

function siteOf(method: Method, module: SiteModule, { size, tensors }: SitePlan): AdapterSite {
  const ids = Object.entries(tensors).map(([name, { key }]) => [name, `${module.path}.${key}`])
  return { ...module, ...size, method, ids: Object.fromEntries(ids) }
}

function siteTensors({ path: module, ids }: AdapterSite, { tensors }: SitePlan): AdapterTensor[] {
  return Object.entries(tensors).map(([name, { role, shape }]) => ({
    id: ids[name] ?? name,
    role,
    shape,
    module,
    trained: true,
  }))
}

/** PEFT writes the whole base embedding or head beside its LoRA when a target names it by its short name. */
function embeddingCopies(
  modules: readonly ModuleInfo[],
  options: LayoutOptions,
  { savedTargets: targets }: TargetResolution,
  sites: readonly AdapterSite[],
): AdapterTensor[] {
  if (options.trainable_token_indices !== undefined && options.trainable_token_indices !== null) return []
  const named = (path: string): boolean =>
    EMBEDDING_NAMES.some((name) => pythonMatch(`(.*\\.)?${name}$`, path, 'target_modules') !== null)
  const targeted =
    typeof targets === 'string'
      ? modules.some(({ path }) => named(path) && pythonFullMatch(targets, path, 'target_modules'))
      : EMBEDDING_NAMES.some((name) => targets.includes(name))
  if (!targeted) return []
  return sites
    .filter((site) => site.isInputEmbedding || site.isOutputHead)
    .flatMap((site) =>
      site.parameters.map(({ name, shape }) => ({
        id: `${site.path}.base_layer.${name}`,
        role: 'base' as const,
        shape,
        module: site.path,
        parameter: name,
        source: `${site.tiedTo ?? site.path}.${name}`,
        trained: false,
      })),
    )
}
