/**
 * @file PEFT's verdict on one module name (`check_target_module_exists` of peft/tuners/tuners_utils.py 0.21).
 * Must not know the model the name comes from.
 */
import { pythonFullMatch, pythonMatch } from './python-regex.ts'

/** The fields of a LoraConfig that choose modules, as adapter_config.json spells them. */
export interface TargetOptions {
  readonly target_modules?: string | readonly string[] | null | undefined
  /** Parameters, by full name or its end. */
  readonly target_parameters?: readonly string[] | null | undefined
  readonly exclude_modules?: string | readonly string[] | null | undefined
  readonly layers_to_transform?: number | readonly number[] | null | undefined
  readonly layers_pattern?: string | readonly string[] | null | undefined
  readonly modules_to_save?: readonly string[] | null | undefined
  readonly rank_pattern?: Readonly<Record<string, number>> | undefined
  readonly alpha_pattern?: Readonly<Record<string, number>> | undefined
}

export type TargetVerdict = 'match' | 'excluded' | 'no'

/** PEFT's verdict on one full module name. `options.target_modules` must not be `all-linear` any more. */
export function checkTarget(options: TargetOptions, key: string): TargetVerdict {
  if (isExcluded(options.exclude_modules, key)) return 'excluded'
  for (const name of options.modules_to_save ?? [])
    if (pythonMatch(`(^|.*\\.)${name}($|\\..*)`, key, 'modules_to_save')) return 'excluded'
  const targets = options.target_modules
  if (targets === undefined || targets === null) return 'no'
  if (typeof targets === 'string') return pythonFullMatch(targets, key, 'target_modules') ? 'match' : 'no'
  if (targets.includes(key)) return 'match' // a full name is not asked for its layer
  if (!targets.some((target) => key.endsWith(`.${target}`))) return 'no'
  return inLayers(options, key) ? 'match' : 'no'
}

function isExcluded(exclude: TargetOptions['exclude_modules'], key: string): boolean {
  if (exclude === undefined || exclude === null || exclude.length === 0) return false
  if (typeof exclude === 'string') return pythonFullMatch(exclude, key, 'exclude_modules')
  return exclude.some((name) => key === name || key.endsWith(`.${name}`))
}

/** Whether `layers_to_transform` lets a module be adapted. */
export function inLayers(options: TargetOptions, key: string): boolean {
  const layers = options.layers_to_transform
  if (layers === undefined || layers === null) return true
  const wanted = typeof layers === 'number' ? [layers] : layers
  if (wanted.length === 0) return true
  const index = layerIndex(options.layers_pattern, key)
  return index !== undefined && wanted.includes(index)
}

/** The layer a module belongs to: its first numbered segment, or the first below one of the patterns. */
export function layerIndex(patterns: TargetOptions['layers_pattern'], key: string): number | undefined {
  let match: RegExpExecArray | null = null
  if (patterns === undefined || patterns === null || patterns.length === 0)
    match = pythonMatch('.*?\\.[^.]*\\.(?P<idx>\\d+)\\.', key, 'layers_pattern')
  else
    for (const pattern of typeof patterns === 'string' ? [patterns] : patterns) {
      match = pythonMatch(`(?:^|.*?\\.)${pattern}\\.(?P<idx>\\d+)\\.`, key, 'layers_pattern')
      if (match) break
    }
  const index = match?.groups?.idx
  return index === undefined ? undefined : Number.parseInt(index, 10)
}
