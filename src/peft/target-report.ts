/**
 * @file What went wrong with a choice of modules, in words: targets that match nothing, in whole or in part, and the
 * names that were probably meant. Must not decide what matches (see targets.ts).
 */

import { allPaths, isSite, lastSegment, type ModuleInfo } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { type PatternField, patternMatches } from './patterns.ts'
import { pythonFullMatch } from './python-regex.ts'
import { checkTarget, layerIndex, type TargetOptions } from './target-match.ts'

export interface TargetMiss {
  /** The entry as the config spells it. */
  readonly name: string
  /** Names that exist, nearest first. */
  readonly nearest: readonly string[]
}

export interface PatternMiss extends TargetMiss {
  readonly field: PatternField
}

export interface Misses {
  readonly unmatchedTargets: readonly TargetMiss[]
  readonly unmatchedExcludes: readonly TargetMiss[]
  readonly unmatchedLayers: readonly number[]
}

export interface AllMisses extends Misses {
  readonly unmatchedParameters: readonly TargetMiss[]
  readonly unmatchedPatterns: readonly PatternMiss[]
}

/** Entries that do nothing. `matched` are the targeted paths. */
export function targetMisses(
  modules: readonly ModuleInfo[],
  paths: readonly string[],
  options: TargetOptions,
  matched: readonly string[],
): Misses {
  const { target_modules: targets, exclude_modules: exclude, layers_to_transform: layers } = options
  const named = (name: string): boolean => paths.some((path) => path === name || path.endsWith(`.${name}`))
  const missing = (names: readonly string[]): TargetMiss[] =>
    names.filter((name) => !named(name)).map((name) => ({ name, nearest: nearestModules(name, modules) }))
  const excludesNothing =
    typeof exclude === 'string' && !paths.some((path) => pythonFullMatch(exclude, path, 'exclude_modules'))
  const found = new Set(matched.map((path) => layerIndex(options.layers_pattern, path)))
  return {
    unmatchedTargets: Array.isArray(targets) ? missing(targets) : [],
    unmatchedExcludes: excludesNothing
      ? [{ name: exclude, nearest: [] }]
      : missing(Array.isArray(exclude) ? exclude : []),
    unmatchedLayers: (typeof layers === 'number' ? [layers] : (layers ?? [])).filter((index) => !found.has(index)),
  }
}

/** Pattern keys that size no targeted module. */
export function patternMisses(
  modules: readonly ModuleInfo[],
  options: TargetOptions,
  matched: readonly string[],
): PatternMiss[] {
  const misses: PatternMiss[] = []
  for (const field of ['rank_pattern', 'alpha_pattern'] as const)
    for (const name of Object.keys(options[field] ?? {}))
      if (!matched.some((path) => patternMatches(name, path, field)))
        misses.push({ field, name, nearest: nearestModules(name, modules) })
  return misses
}

/** Names of modules that take LoRA and look like `name`: as many trailing segments as it has, else the last alone. */
export function nearestModules(name: string, modules: readonly ModuleInfo[], count = 3): string[] {
  const sites = modules.filter(isSite).map((module) => module.path)
  const depth = name.split('.').length
  const tails = sites.map((path) => path.split('.').slice(-depth).join('.'))
  const close = nearest(name, tails, count)
  return close.length > 0 ? close : nearest(lastSegment(name), sites.map(lastSegment), count)
}

/** The error for a choice that targets nothing: says why, and names what exists. */
export function throwNoTarget(
  modules: readonly ModuleInfo[],
  options: TargetOptions,
  excluded: readonly string[],
  parameters: readonly TargetMiss[] = [],
): never {
  const targets = options.target_modules ?? []
  if (parameters.length > 0 && targets.length === 0) throw noParameter(parameters)
  const wanted = typeof targets === 'string' ? targets : targets.join(', ')
  const unrestricted = allPaths(modules).filter((path) => checkTarget({ target_modules: targets }, path) === 'match')
  const dropped = unrestricted.filter((path) => excluded.includes(path))
  if (unrestricted.length > 0) {
    const why =
      dropped.length === unrestricted.length
        ? 'exclude_modules and modules_to_save leave none of them'
        : `layers_to_transform ${JSON.stringify(options.layers_to_transform ?? null)} leaves none of them`
    const field = dropped.length === unrestricted.length ? 'exclude_modules' : 'layers_to_transform'
    const some = listSome(unrestricted)
    throw new LowrankError('config', `${field}: target_modules ${wanted} names ${some}, but ${why}`, { field })
  }
  const list = typeof targets === 'string' ? [] : targets
  const close = [...new Set(list.flatMap((name) => nearestModules(name, modules)))]
  const known = [...new Set(modules.filter(isSite).map((module) => lastSegment(module.path)))]
  throw new LowrankError(
    'missing',
    `target_modules: ${wanted} matches no module of this model, which has ${listSome(known, 12)}`,
    { field: 'target_modules', suggestion: close.length > 0 ? close.join(', ') : 'all-linear' },
  )
}

function noParameter(misses: readonly TargetMiss[]): LowrankError {
  const close = [...new Set(misses.flatMap((miss) => miss.nearest))]
  const message = `target_parameters: ${misses.map(({ name }) => name).join(', ')} matches no parameter of this model`
  return new LowrankError('missing', message, { field: 'target_parameters', suggestion: close.join(', ') || undefined })
}

/** One line for each entry that does nothing, for a person to read. Empty when every entry is used. */
export function describeMisses(report: AllMisses): string[] {
  const hint = (miss: TargetMiss): string => (miss.nearest.length > 0 ? ` (nearest: ${miss.nearest.join(', ')})` : '')
  return [
    ...report.unmatchedTargets.map((miss) => `target_modules: ${miss.name} matches no module${hint(miss)}`),
    ...report.unmatchedParameters.map((miss) => `target_parameters: ${miss.name} matches no parameter${hint(miss)}`),
    ...report.unmatchedExcludes.map((miss) => `exclude_modules: ${miss.name} excludes nothing${hint(miss)}`),
    ...report.unmatchedLayers.map((index) => `layers_to_transform: no targeted module is in layer ${index}`),
    ...report.unmatchedPatterns.map((miss) => `${miss.field}: ${miss.name} matches no targeted module${hint(miss)}`),
  ]
}

/** First few of a list, with how many more there are. */
export function listSome(names: readonly string[], count = 4): string {
  const more = names.length - count
  return more > 0 ? `${names.slice(0, count).join(', ')} and ${more} more` : names.join(', ')
}
