/** @file Target matching, pattern keys and condensation, row by row as PEFT decided them (scripts/goldens/peft_targets.py). */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { modelTypes } from '../../src/models/registry.ts'
import { findMinimalTargets } from '../../src/peft/minimal-targets.ts'
import { patternMatches } from '../../src/peft/patterns.ts'
import { checkTarget, type TargetOptions } from '../../src/peft/target-match.ts'
import { peftTargets } from '../../src/peft/targets.ts'

interface Goldens {
  names: string[]
  options: TargetOptions[]
  /** For each entry of `options`, the names it matches and those it excludes. */
  verdicts: { match: string[]; excluded: string[] }[]
  patterns: [keys: string[], path: string, found: string | null][]
  minimal: { targets: string[]; others: string[]; minimal: string[] }[]
  /** By `model_type`. */
  defaults: Record<string, string[] | string>
}

const file = new URL('../goldens/peft/targets.json', import.meta.url)
const goldens: Goldens = JSON.parse(readFileSync(file, 'utf8'))

describe('PEFT target matching', () => {
  it('has rows of every verdict', () => {
    expect(goldens.names.length * goldens.options.length).toBeGreaterThan(5000)
    expect(goldens.verdicts.flatMap((v) => v.match).length).toBeGreaterThan(400)
    expect(goldens.verdicts.flatMap((v) => v.excluded).length).toBeGreaterThan(50)
  })

  it.each(goldens.options.map((options, index) => [JSON.stringify(options), options, index] as const))(
    '%s',
    (_, options, index) => {
      const verdicts = goldens.names.map((name) => ({ name, verdict: checkTarget(options, name) }))
      const all = (wanted: string) => verdicts.filter((v) => v.verdict === wanted).map((v) => v.name)
      expect({ match: all('match'), excluded: all('excluded') }).toEqual(goldens.verdicts[index])
    },
  )

  it('rank and alpha patterns: the first key that speaks of the module', () => {
    const ours = goldens.patterns.map(
      ([keys, path]) => keys.find((key) => patternMatches(key, path, 'rank_pattern')) ?? null,
    )
    expect(ours).toEqual(goldens.patterns.map(([, , found]) => found))
  })

  it('condenses targets to the same suffixes', () => {
    const ours = goldens.minimal.map(({ targets, others }) => [...findMinimalTargets(targets, others)].sort())
    expect(ours).toEqual(goldens.minimal.map(({ minimal }) => minimal))
  })

  it('targets the same where a config names nothing, for every model type that is built', () => {
    expect(Object.fromEntries(modelTypes.map((type) => [type, peftTargets(type)]))).toEqual(
      Object.fromEntries(modelTypes.map((type) => [type, goldens.defaults[type]])),
    )
    expect(peftTargets('opt')).toEqual(['q_proj', 'v_proj'])
  })
})
