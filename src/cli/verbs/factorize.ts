/** @file `lowrank factorize` at a terminal: a row a matrix. Must not know how a matrix is factorized. */
import type { FactorizeOptions } from '../../config/verbs/index.ts'
import type { FactorizedTensor, FactorizeResult } from '../../run/algebra-types.ts'
import { factorize } from '../../run/factorize.ts'
import { count, percent, significant } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import { table } from '../table.ts'
import type { Palette } from '../terminal.ts'

/** Ranks whose error is shown of a single matrix. */
const RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
/** Tensors named that were passed over. */
const MOST_SKIPPED = 5

export async function factorizeFace(options: FactorizeOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const result = await factorize({ ...options, signal: face.signal, onProgress: face.json ? face.emit : progress.show })
  progress.end()
  if (face.json) return void face.emit(result)
  const { skipped } = result
  for (const { name, why } of skipped.slice(0, MOST_SKIPPED)) face.terminal.say(`passed over ${name}: ${why}`)
  if (skipped.length > MOST_SKIPPED) face.terminal.say(`and ${count(skipped.length - MOST_SKIPPED)} more`)
  face.terminal.write(`${pageOf(result, face.terminal.out).join('\n')}\n`)
}

function pageOf({ tensors, output, report }: FactorizeResult, palette: Palette): string[] {
  const rows = tensors.map((t) => [
    t.name,
    t.shape.join(' × '),
    significant(t.norm),
    optional(t.effectiveRank),
    String(t.rank ?? '–'),
    share(t.error),
    share(t.optimal),
  ])
  const lines = table(
    [['tensor', 'shape', 'norm', 'effective rank', 'rank', 'error', 'best possible'], ...rows],
    palette,
  )
  const [only] = tensors
  if (only && tensors.length === 1) lines.push('', ...errorLines(only, palette))
  for (const file of [output, report]) if (file !== undefined) lines.push('', palette.strong(file))
  return lines
}

function errorLines({ errors, spectrum }: FactorizedTensor, palette: Palette): string[] {
  const known = RANKS.filter((rank) => rank < errors.length)
  const rows = known.map((rank) => [String(rank), significant(spectrum[rank - 1] ?? 0), percent(errors[rank] ?? 0)])
  return table([['rank', 'singular value', 'error'], ...rows], palette)
}

const optional = (value: number | undefined): string => (value === undefined ? '–' : significant(value))
const share = (value: number | undefined): string => (value === undefined ? '–' : percent(value))
