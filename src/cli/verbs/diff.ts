/** @file `lowrank diff` at a terminal: a row a module. Must not know what the numbers mean. */
import type { DiffOptions } from '../../config/verbs/index.ts'
import type { DiffedModule } from '../../run/algebra-types.ts'
import { diff } from '../../run/diff.ts'
import { significant } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import { table } from '../table.ts'

export async function diffFace(options: DiffOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const result = await diff({ ...options, signal: face.signal, onProgress: face.json ? face.emit : progress.show })
  progress.end()
  if (face.json) return void face.emit(result)
  const { a, b, normA, normB, norm, cosine, modules, beside, notes } = result
  for (const note of notes) face.terminal.say(note)
  const heading = [
    'module',
    'norm a',
    'norm b',
    'a − b',
    'cosine',
    'outputs shared',
    'inputs shared',
    'effective ranks',
  ]
  const lines = table([heading, ...modules.map(rowOf)], face.terminal.out)
  for (const { name, in: where, distance } of beside)
    lines.push(`  ${name}: ${where === 'both' ? `distance ${shown(distance)}` : `in ${where} alone`}`)
  const whole = `‖a‖ ${significant(normA)}, ‖b‖ ${significant(normB)}, ‖a − b‖ ${significant(norm)}, cosine ${shown(cosine)}`
  face.terminal.write(`${[`a: ${a}`, `b: ${b}`, '', ...lines, '', face.terminal.out.strong(whole)].join('\n')}\n`)
}

function rowOf({ path, a, b, difference }: DiffedModule): string[] {
  return [
    path,
    shown(a?.norm),
    shown(b?.norm),
    shown(difference?.norm),
    shown(difference?.cosine),
    shown(difference?.outputOverlap),
    shown(difference?.inputOverlap),
    `${shown(a?.effectiveRank)} / ${shown(b?.effectiveRank)}`,
  ]
}

const shown = (value: number | null | undefined): string =>
  value === undefined || value === null ? '–' : significant(value)
