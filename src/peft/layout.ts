/**
 * @file The layout of a LoRA adapter on a model: where it sits, at which rank and scale, and every tensor it trains or
 * that PEFT writes beside (peft/utils/save_and_load.py, `get_peft_model_state_dict`, 0.21).
 * Must not know tensor values, graphs or files.
 */

import type { ModuleInfo, SiteModule } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import type { AdapterLayout, AdapterSite, AdapterTensor, LayoutOptions, SavedConfig } from './adapter-layout.ts'
import { biasTensors, savedModules, savedTensors, tokenRows, tokenTensors } from './beside.ts'
import { siteScale } from './patterns.ts'
import { pythonFullMatch, pythonMatch } from './python-regex.ts'
import { describeMisses } from './target-report.ts'
import { resolveTargets, type TargetResolution } from './targets.ts'

export type {
  AdapterLayout,
  AdapterSite,
  AdapterTensor,
  LayoutOptions,
  SavedConfig,
  TensorRole,
  TokenRows,
} from './adapter-layout.ts'

export interface LayoutContext {
  /** Default targets follow from it where the config names none. */
  readonly modelType?: string | undefined
  /** An adapter that exists may have any rank; a new one may not exceed the matrix. */
  readonly loaded?: boolean | undefined
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
  checkLoraBias(options)
  const targets = resolveTargets(modules, options, context.modelType)
  const sites = targets.sites.map((module) => siteOf(module, options))
  const notes = [...describeMisses(targets), ...rankNotes(sites, context.loaded ?? false)]
  const saved = savedModules(modules, options, sites)
  const tokens = tokenRows(modules, options, sites, saved.modules)
  const tensors = [
    ...sites.flatMap(siteTensors),
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

function checkLoraBias(options: LayoutOptions): void {
  if (!options.lora_bias) return
  const init = options.init_lora_weights ?? true
  const reason = options.use_dora
    ? 'use_dora'
    : typeof init === 'string'
      ? `init_lora_weights ${JSON.stringify(init)}`
      : undefined
  if (reason) throw new LowrankError('config', `lora_bias: cannot be combined with ${reason}`, { field: 'lora_bias' })
}

function siteOf(module: SiteModule, options: LayoutOptions): AdapterSite {
  const { path, kind } = module
  const size = siteScale(options, path)
  if (!Number.isInteger(size.r) || size.r <= 0)
    throw new LowrankError('config', `r: the rank at ${path} is ${size.r}; it must be a whole number above 0`, {
      field: size.r === options.r ? 'r' : 'rank_pattern',
    })
  if (options.lora_bias && kind === 'embedding')
    throw new LowrankError('config', `lora_bias: is not possible on an embedding, which ${path} is`, {
      field: 'lora_bias',
    })
  const embedding = kind === 'embedding'
  return {
    ...module,
    ...size,
    a: `${path}.${embedding ? 'lora_embedding_A' : 'lora_A.weight'}`,
    b: `${path}.${embedding ? 'lora_embedding_B' : 'lora_B.weight'}`,
    ...(options.lora_bias ? { bBias: `${path}.lora_B.bias` } : {}),
    ...(options.use_dora ? { magnitude: `${path}.lora_magnitude_vector` } : {}),
  }
}

/** A rank above the smaller side only wastes room; above the larger side it cannot be meant. */
function rankNotes(sites: readonly AdapterSite[], loaded: boolean): string[] {
  const notes: string[] = []
  for (const { path, r, inFeatures, outFeatures } of sites) {
    const larger = Math.max(inFeatures, outFeatures)
    const size = `${path} is ${outFeatures} by ${inFeatures}`
    if (r > larger && !loaded)
      throw new LowrankError('config', `r: rank ${r} is above the larger side of the matrix: ${size}`, { field: 'r' })
    if (r > Math.min(inFeatures, outFeatures))
      notes.push(`r: rank ${r} is above the smaller side of the matrix: ${size}`)
  }
  return notes
}

function siteTensors(site: AdapterSite): AdapterTensor[] {
  const { path: module, r, inFeatures, outFeatures, a, b, bBias, magnitude } = site
  const trained = true
  return [
    { id: a, role: 'lora_A', shape: [r, inFeatures], module, trained },
    { id: b, role: 'lora_B', shape: [outFeatures, r], module, trained },
    ...(bBias ? [{ id: bBias, role: 'lora_bias' as const, shape: [outFeatures], module, trained }] : []),
    ...(magnitude ? [{ id: magnitude, role: 'magnitude' as const, shape: [outFeatures], module, trained }] : []),
  ]
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
