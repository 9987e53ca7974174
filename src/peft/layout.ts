/**
 * @file The layout of an adapter on a model: where it sits, what its method makes of each site, and every tensor it
 * trains or that PEFT writes beside (peft/utils/save_and_load.py, `get_peft_model_state_dict`, 0.21).
 * Must not know tensor values, graphs or files.
 */

import type { ModuleInfo, SiteModule } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import type { AdapterLayout, AdapterTensor, SavedConfig } from './adapter-layout.ts'
import { biasTensors, savedModules, savedTensors, tokenRows, tokenTensors } from './beside.ts'
import type { AdapterSite, LayoutOptions, Method, SitePlan } from './method.ts'
import { methodOf } from './methods/registry.ts'
import { pythonFullMatch, pythonMatch } from './python-regex.ts'
import { describeMisses } from './target-report.ts'
import { resolveTargets, type TargetResolution } from './targets.ts'

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
  options: LayoutOptions,
  context: LayoutContext = {},
): AdapterLayout {
  const method = context.method ?? methodOf(options.peft_type)
  const targets = resolveTargets(modules, options, context.modelType)
  const planned = targets.sites.map((module) => {
    const plan = method.plan(module, options, context.loaded ?? false)
    return { plan, site: siteOf(method, module, plan) }
  })
  const sites = planned.map(({ site }) => site)
  const notes = [...describeMisses(targets), ...planned.flatMap(({ plan }) => plan.notes ?? [])]
  const saved = savedModules(modules, options, sites)
  const tokens = tokenRows(modules, options, sites, saved.modules)
  const tensors = [
    ...planned.flatMap(({ site, plan }) => siteTensors(site, plan)),
    ...biasTensors(modules, options.bias ?? 'none', sites, saved.modules),
    ...savedTensors(saved.modules, options.bias === 'all'),
    ...tokenTensors(tokens, modules),
    ...embeddingCopies(modules, options, targets, sites),
  ]
  return {
    sites,
    tensors,
    tokens,
    targets,
    savedConfig: savedConfig(targets, options),
    invocation: invocationOf(modules, options, sites),
    notes: [...notes, ...saved.notes],
  }
}

function savedConfig({ sites, savedTargets, layersApplied }: TargetResolution, options: LayoutOptions): SavedConfig {
  const linear = sites.filter((site) => site.kind !== 'embedding').at(-1)
  return {
    target_modules: savedTargets,
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

/** Names PEFT knows embeddings by (EMBEDDING_LAYER_NAMES). */
const EMBEDDING_NAMES = ['embed_tokens', 'lm_head']

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
