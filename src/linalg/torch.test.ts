import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { matrix } from './matrix.ts'
import { qr } from './qr.ts'
import { singularValues, svd } from './svd.ts'

interface Golden {
  shape: [number, number]
  m: number[]
  q: number[]
  r: number[]
  s: number[]
}

/** Made by torch: scripts/goldens/linalg.py. */
const file = new URL('../../test/goldens/linalg/torch.json', import.meta.url)
const { cases }: { cases: Record<string, Golden> } = JSON.parse(readFileSync(file, 'utf8'))

/** Of the largest number, in f64. */
const CLOSE = 1e-12

function near(ours: Float64Array, theirs: readonly number[], size: number): void {
  expect(ours).toHaveLength(theirs.length)
  for (const [i, value] of theirs.entries())
    expect(Math.abs((ours[i] ?? Number.NaN) - value)).toBeLessThan(CLOSE * size)
}

describe('as torch has it', () => {
  it.each(Object.entries(cases))('%s', (name, { shape: [rows, columns], m, q, r, s }) => {
    const input = matrix(rows, columns, Float64Array.from(m))
    const size = Math.max(1, ...m.map(Math.abs))
    near(svd(input).s, s, size)
    near(singularValues(input), s, size)
    const ours = qr(input)
    near(ours.r.data, r, size)
    // Where a column depends on those before it, its direction in Q is anybody's.
    if (name !== 'deficient') near(ours.q.data, q, name === 'hilbert' ? 1e4 : 1)
  })
})
