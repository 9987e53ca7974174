import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RandomStream } from '../support/random.ts'
import {
  frobeniusNorm,
  identity,
  type Matrix,
  matrix,
  multiply,
  subtract,
  transpose,
  transposedMultiply,
} from './matrix.ts'
import { qr } from './qr.ts'
import { randomizedSvd, recompose, type Svd, svd, topSvd, truncated } from './svd.ts'

function random(rows: number, columns: number, seed: number): Matrix {
  const stream = new RandomStream(seed, 'test')
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  )
}

/** A matrix with the given singular values. */
function withSpectrum(rows: number, columns: number, s: readonly number[], seed: number): Matrix {
  const u = qr(random(rows, s.length, seed)).q
  const v = qr(random(columns, s.length, seed + 1)).q
  return recompose({ u, s: Float64Array.from(s), v })
}

const distance = (a: Matrix, b: Matrix): number => frobeniusNorm(subtract(a, b))
const orthonormal = (m: Matrix): number => distance(transposedMultiply(m, m), identity(m.columns))

function check(m: Matrix, found: Svd): void {
  const scale = frobeniusNorm(m)
  expect(distance(recompose(found), m)).toBeLessThanOrEqual(1e-13 * scale * Math.sqrt(m.rows + m.columns))
  expect(orthonormal(found.u)).toBeLessThan(1e-12 * found.s.length)
  expect(orthonormal(found.v)).toBeLessThan(1e-12 * found.s.length)
  for (let i = 1; i < found.s.length; i++) expect(found.s[i]).toBeLessThanOrEqual(found.s[i - 1] ?? 0)
}

describe('svd', () => {
  it('is the matrix again, with orthonormal vectors, whatever the shape', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 24 }), fc.nat(), (rows, columns, seed) => {
        const m = random(rows, columns, seed)
        check(m, svd(m))
      }),
      { numRuns: 60 },
    )
  })

  it('holds for zeros, equal values, ranks below the size and scales far apart', () => {
    for (const s of [
      [0, 0, 0],
      [1, 1, 1, 1],
      [5, 0, 0, 0, 0, 0],
      [1e150, 1, 1e-150],
      [3, 3, 2, 2, 1e-9, 0],
    ]) {
      const m = withSpectrum(9, 7, s, 3)
      check(m, svd(m))
    }
    check(
      matrix(4, 4, Float64Array.from([0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0])),
      svd(matrix(4, 4, Float64Array.from([0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]))),
    )
  })

  it('finds a known spectrum', () => {
    const s = [9, 7.5, 3, 1, 0.25, 1e-3]
    const found = svd(withSpectrum(40, 30, s, 5))
    for (const [i, value] of s.entries()) expect(Math.abs((found.s[i] ?? 0) - value)).toBeLessThan(1e-12)
    for (const value of found.s.slice(s.length)) expect(value).toBeLessThan(1e-12)
  })
})

describe('the largest values alone', () => {
  it.each([
    ['a flat spectrum', random(120, 200, 1)],
    [
      'a steep one',
      withSpectrum(
        150,
        130,
        Array.from({ length: 130 }, (_, i) => 0.9 ** i),
        2,
      ),
    ],
    [
      'pairs of equal values',
      withSpectrum(
        140,
        140,
        Array.from({ length: 140 }, (_, i) => 140 - (i & ~1)),
        3,
      ),
    ],
    ['fewer than asked for', withSpectrum(100, 100, [3, 2, 1], 4)],
  ])('are those of the whole decomposition: %s', (_, m) => {
    const [whole, top] = [svd(m), topSvd(m, 6)]
    for (let i = 0; i < 6; i++)
      expect(Math.abs((top.s[i] ?? 0) - (whole.s[i] ?? 0))).toBeLessThan(1e-11 * (whole.s[0] ?? 1))
    expect(orthonormal(top.u)).toBeLessThan(1e-11)
    const best = distance(recompose(truncated(whole, 6)), m)
    expect(distance(recompose(top), m)).toBeLessThan(best * (1 + 1e-10) + 1e-12)
  })

  it('by a random sketch are within 1 % of the best error', () => {
    const m = withSpectrum(
      180,
      150,
      Array.from({ length: 150 }, (_, i) => 1 / (1 + i)),
      6,
    )
    const best = distance(recompose(truncated(svd(m), 8)), m)
    expect(distance(recompose(randomizedSvd(m, 8)), m)).toBeLessThan(1.01 * best)
  })
})

describe('qr', () => {
  it('gives orthonormal columns and a triangle whose product is the matrix', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), fc.nat(), (rows, columns, seed) => {
        const m = random(rows, columns, seed)
        const { q, r } = qr(m)
        expect(distance(multiply(q, r), m)).toBeLessThan(1e-12 * frobeniusNorm(m))
        expect(orthonormal(q)).toBeLessThan(1e-12)
        for (let i = 0; i < r.rows; i++) for (let j = 0; j < i; j++) expect(r.data[i * r.columns + j]).toBe(0)
      }),
      { numRuns: 40 },
    )
  })
})

describe('what cannot be decomposed', () => {
  it('is refused, saying where', () => {
    expect(() => svd(matrix(0, 3))).toThrow(/0 by 3/)
    expect(() => svd(matrix(2, 2, Float64Array.from([1, Number.NaN, 0, 1])))).toThrow(/row 0, column 1 is NaN/)
    expect(() => qr(matrix(1, 1, Float64Array.from([Number.POSITIVE_INFINITY])))).toThrow(/Infinity/)
    expect(() => topSvd(random(3, 4, 1), 5)).toThrow(/between 1 and 3/)
    expect(() => randomizedSvd(transpose(random(3, 4, 1)), 0)).toThrow(/rank 0/)
  })
})
