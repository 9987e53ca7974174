/**
 * @file Condensing a long list of target names to the suffixes that tell them from every other module, as PEFT does
 * before it saves a config (`_find_minimal_target_modules` of peft/tuners/tuners_utils.py 0.21).
 * Must not know what the modules are.
 */
import { LowrankError } from '../support/errors.ts'

/** Lists at least this long are condensed (PEFT's MIN_TARGET_MODULES_FOR_OPTIMIZATION). */
const CONDENSE_FROM = 20

/** `targets` as PEFT would save them next to a model whose modules are `paths`. */
export function condenseTargets(targets: readonly string[], paths: readonly string[]): readonly string[] {
  if (targets.length < CONDENSE_FROM) return targets
  const named = new Set(targets)
  const others = paths.filter((path) => !suffixesOf(path).some((suffix) => named.has(suffix)))
  const minimal = findMinimalTargets(targets, others)
  return minimal.length < targets.length ? minimal : targets
}

/**
 * The fewest dot-bounded suffixes that cover `targets` and no name of `others`.
 * @throws LowrankError `config` on an empty list, an empty name, or a name in both lists.
 */
export function findMinimalTargets(targets: readonly string[], others: readonly string[]): readonly string[] {
  const fail = (message: string): never => {
    throw new LowrankError('config', `target_modules: ${message}`, { field: 'target_modules' })
  }
  if (targets.length === 0) fail('the list is empty')
  if (targets.includes('')) fail('holds an empty name')
  const otherNames = new Set(others)
  const both = targets.find((name) => otherNames.has(name))
  if (both !== undefined) fail(`${both} is both a target and not a target`)

  const taken = new Set(others.flatMap(suffixesOf))
  const chains = [...new Set(targets)].map((name) => ({ name, suffixes: suffixesOf(name) }))
  chains.sort((a, b) => compareChains(a.suffixes, b.suffixes))
  const required = new Set<string>()
  for (const { name, suffixes } of chains) {
    if (suffixes.some((suffix) => suffix !== name && required.has(suffix))) continue
    const fresh = suffixes.find((suffix) => !required.has(suffix) && !taken.has(suffix))
    if (fresh !== undefined) required.add(fresh)
  }
  return required.size === 0 ? [...new Set(targets)] : [...required]
}

/** `a.b.c` gives `c`, `b.c`, `a.b.c`: shortest first. */
function suffixesOf(name: string): string[] {
  const parts = name.split('.')
  return parts.map((_, i) => parts.slice(parts.length - 1 - i).join('.'))
}

/** Python's order of lists of strings. */
function compareChains(a: readonly string[], b: readonly string[]): number {
  for (const [i, suffix] of a.entries()) {
    const other = b[i]
    if (other === undefined) return 1
    if (suffix !== other) return suffix < other ? -1 : 1
  }
  return a.length - b.length
}
