/**
 * @file Per-module rank, alpha and scaling: `rank_pattern` and `alpha_pattern` of a LoraConfig
 * (`get_pattern_key` of peft/utils/other.py). Must not know tensors.
 */
import { pythonMatch } from './python-regex.ts'

/** The fields of a LoraConfig that size an adapter, as adapter_config.json spells them. */
export interface ScaleOptions {
  readonly r: number
  readonly lora_alpha: number
  readonly use_rslora?: boolean | undefined
  readonly rank_pattern?: Readonly<Record<string, number>> | undefined
  readonly alpha_pattern?: Readonly<Record<string, number>> | undefined
}

export type PatternField = 'rank_pattern' | 'alpha_pattern'

/** Whether a pattern key speaks of a module: a regular expression that must reach the end of its name. */
export function patternMatches(key: string, path: string, field: PatternField): boolean {
  return pythonMatch(`(.*\\.)?(${key})$`, path, field) !== null
}

/** The value of the first key (in the order of the config) that speaks of `path`. */
export function patternValue(
  patterns: Readonly<Record<string, number>> | undefined,
  path: string,
  field: PatternField,
): number | undefined {
  for (const [key, value] of Object.entries(patterns ?? {})) if (patternMatches(key, path, field)) return value
  return undefined
}

export interface SiteScale {
  readonly r: number
  readonly alpha: number
  /** What B·A is multiplied by: alpha / r, or alpha / √r with rsLoRA (Kalajdzievski 2023). */
  readonly scale: number
}

export function siteScale(options: ScaleOptions, path: string): SiteScale {
  const r = patternValue(options.rank_pattern, path, 'rank_pattern') ?? options.r
  const alpha = patternValue(options.alpha_pattern, path, 'alpha_pattern') ?? options.lora_alpha
  return { r, alpha, scale: scaling(alpha, r, options.use_rslora ?? false) }
}

export function scaling(alpha: number, r: number, rslora: boolean): number {
  return alpha / (rslora ? Math.sqrt(r) : r)
}
