/**
 * @file Which modules an adapter sits on, decided exactly as PEFT decides it (`check_target_module_exists`,
 * `_maybe_include_all_linear_layers` of peft/tuners/tuners_utils.py 0.21), plus what PEFT is silent about: misses.
 * Must not know what an adapter computes.
 */

import { allPaths, isSite, type ModuleInfo, type SiteModule } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import { condenseTargets } from './minimal-targets.ts'
import { parameterTargets } from './parameter-targets.ts'
import { checkTarget, inLayers, type TargetOptions } from './target-match.ts'
import {
  listSome,
  type PatternMiss,
  patternMisses,
  type TargetMiss,
  targetMisses,
  throwNoTarget,
} from './target-report.ts'

export interface TargetResolution {
  /** Sites in definition order. */
  readonly sites: readonly SiteModule[]
  /** Modules whose weight `target_parameters` names. */
  readonly parameterSites: readonly SiteModule[]
  /** What `target_modules` reads after PEFT has seen the model: `all-linear` expanded, long lists condensed. */
  readonly savedTargets: string | readonly string[]
  /**
   * `all-linear` was met with `layers_to_transform`, which PEFT refuses: `savedTargets` names those layers' modules in
   * full, and the two layer fields are saved as null.
   */
  readonly layersApplied: boolean
  /** Modules a target named but `exclude_modules` or `modules_to_save` keeps out. */
  readonly excluded: readonly string[]
  /** Entries of a `target_modules` list that name no module, with the nearest names. PEFT drops these in silence. */
  readonly unmatchedTargets: readonly TargetMiss[]
  /** Entries of an `exclude_modules` list (or the whole expression) that exclude nothing. */
  readonly unmatchedExcludes: readonly TargetMiss[]
  /** Indices of `layers_to_transform` that no targeted module has. */
  readonly unmatchedLayers: readonly number[]
  /** Entries of `target_parameters` that name no parameter. */
  readonly unmatchedParameters: readonly TargetMiss[]
  /** Keys of `rank_pattern` and `alpha_pattern` that no targeted module matches. */
  readonly unmatchedPatterns: readonly PatternMiss[]
}

/** Model types of each of PEFT's default targets (TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING); it has none for others. */
const DEFAULTS: readonly [targets: readonly string[], modelTypes: readonly string[]][] = [
  [
    ['q_proj', 'v_proj'],
    ['llama', 'mistral', 'qwen2', 'qwen3', 'gemma', 'gemma2', 'gemma3_text', 'opt'],
  ],
  [['c_attn'], ['gpt2']],
  [['query_key_value'], ['gpt_neox']],
  [
    ['query', 'value'],
    ['bert', 'roberta', 'xlm-roberta', 'electra'],
  ],
  [['query_proj', 'value_proj'], ['deberta-v2']],
]

/**
 * Chooses the sites of an adapter.
 * @throws LowrankError `config` when the fields contradict each other, an expression cannot be translated or a target
 * names a module that takes no LoRA; `missing` when nothing is targeted (names the nearest modules).
 */
export function resolveTargets(
  modules: readonly ModuleInfo[],
  options: TargetOptions,
  modelType?: string,
): TargetResolution {
  checkFields(options)
  const paths = allPaths(modules)
  const parameterNames = options.target_parameters ?? []
  const asked = options.target_modules ?? defaultTargets(modelType, parameterNames.length > 0)
  const layersApplied = isAllLinear(asked) && (options.layers_to_transform ?? null) !== null
  const targets = expandTargets(modules, asked, options, paths)
  const unlayered = layersApplied ? { layers_to_transform: null, layers_pattern: null } : {}
  const expanded: TargetOptions = { ...options, ...unlayered, target_modules: targets }
  const verdicts = paths.map((path) => ({ path, verdict: checkTarget(expanded, path) }))
  const matched = verdicts.filter((v) => v.verdict === 'match').map((v) => v.path)
  const excluded = verdicts.filter((v) => v.verdict === 'excluded').map((v) => v.path)
  const sites = sitesOf(modules, matched)
  const parameters = parameterTargets(modules, parameterNames, sites)
  if (sites.length + parameters.sites.length === 0 && layersApplied) {
    const layers = JSON.stringify(options.layers_to_transform)
    const message = `layers_to_transform: the model has no linear layer in layers ${layers}`
    throw new LowrankError('config', message, { field: 'layers_to_transform' })
  }
  if (sites.length + parameters.sites.length === 0) throwNoTarget(modules, expanded, excluded, parameters.unmatched)
  return {
    sites,
    parameterSites: parameters.sites,
    unmatchedParameters: parameters.unmatched,
    savedTargets: targets,
    layersApplied,
    excluded: excluded.filter((path) => checkTarget({ target_modules: targets }, path) === 'match'),
    ...targetMisses(modules, paths, { ...options, target_modules: targets }, matched),
    unmatchedPatterns: patternMisses(modules, options, [
      ...matched,
      ...parameters.sites.map(({ path }) => `${path}.weight`),
    ]),
  }
}

function checkFields(options: TargetOptions): void {
  const { target_modules: targets, layers_to_transform: layers, layers_pattern: pattern } = options
  const fail = (field: string, message: string): never => {
    throw new LowrankError('config', `${field}: ${message}`, { field })
  }
  const hasLayers = layers !== undefined && layers !== null
  const hasPattern = pattern !== undefined && pattern !== null
  if (typeof targets === 'string' && !isAllLinear(targets)) {
    const why = 'cannot be used when target_modules is a regular expression: give a list of names'
    if (hasLayers) fail('layers_to_transform', why)
    if (hasPattern) fail('layers_pattern', why)
  }
  if (hasPattern && pattern.length > 0 && !hasLayers) fail('layers_pattern', 'needs layers_to_transform')
  if (Array.isArray(targets) && targets.includes('')) fail('target_modules', 'holds an empty name')
}

/** What PEFT targets where `target_modules` is null; undefined for model types it has no default for. */
export function peftTargets(modelType: string): readonly string[] | undefined {
  return DEFAULTS.find(([, modelTypes]) => modelTypes.includes(modelType))?.[0]
}

function defaultTargets(modelType: string | undefined, hasParameters: boolean): readonly string[] {
  const targets = modelType === undefined ? undefined : peftTargets(modelType)
  if (targets) return targets
  if (hasParameters) return []
  throw new LowrankError('config', `target_modules: is not set, and there is no default for model_type ${modelType}`, {
    field: 'target_modules',
    suggestion: 'all-linear',
  })
}

function isAllLinear(targets: TargetOptions['target_modules']): boolean {
  return typeof targets === 'string' && targets.toLowerCase() === 'all-linear'
}

/** `all-linear` becomes every linear layer but the output head; lists of 20 and more are condensed. Both as PEFT saves them. */
function expandTargets(
  modules: readonly ModuleInfo[],
  targets: string | readonly string[],
  options: TargetOptions,
  paths: readonly string[],
): string | readonly string[] {
  if (typeof targets !== 'string') return condenseTargets([...new Set(targets)], paths)
  if (!isAllLinear(targets)) return targets
  const linear = modules.filter((m) => (m.kind === 'linear' || m.kind === 'conv1d') && !m.isOutputHead && !m.isTaskHead)
  return condenseTargets(
    linear.map((m) => m.path).filter((path) => inLayers(options, path)),
    paths,
  )
}

/** PEFT fails on the first target it cannot adapt; all are named here. */
function sitesOf(modules: readonly ModuleInfo[], matched: readonly string[]): SiteModule[] {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const sites: SiteModule[] = []
  const refused: string[] = []
  for (const path of matched) {
    const module = byPath.get(path)
    if (module && isSite(module)) sites.push(module)
    else refused.push(`${path} (${module ? module.kind : 'a container'})`)
  }
  if (refused.length > 0)
    throw new LowrankError(
      'config',
      `target_modules: LoRA sits on linear, Conv1D and embedding layers, not on ${listSome(refused)}`,
      { field: 'target_modules', suggestion: 'all-linear' },
    )
  return sites
}
