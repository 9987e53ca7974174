import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RandomStream } from '../support/random.ts'
import {
  balanced,
  cutSvd,
  effectiveRank,
  energy,
  innerProduct,
  type LowRank,
  normOfProduct,
  numericalRank,
  rankForEnergy,
  stableRank,
  subspaceOverlap,
  sumOf,
  svdOfProduct,
} from './low-rank.ts'
import {
  firstColumns,
  frobeniusNorm,
  identity,
  type Matrix,
  matrix,
  multiply,
  multiplyTransposed,
  subtract,
  transpose,
  transposedMultiply,
} from './matrix.ts'
import { recompose, singularValues, svd, truncated } from './svd.ts'

function random(rows: number, columns: number, seed: number): Matrix {
  const stream = new RandomStream(seed, 'test')
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  )
}

const low = (m: number, n: number, r: number, seed: number): LowRank => ({
  b: random(m, r, seed),
  a: random(r, n, seed + 1),
})
const product = ({ a, b }: LowRank): Matrix => multiply(b, a)
const distance = (a: Matrix, b: Matrix): number => frobeniusNorm(subtract(a, b))
const side = fc.integer({ min: 1, max: 17 })

/** The definition, without blocks. */
function slowMultiply(a: Matrix, b: Matrix): Matrix {
  const out = matrix(a.rows, b.columns)
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < b.columns; j++)
      for (let k = 0; k < a.columns; k++)
        out.data[i * b.columns + j] =
          (out.data[i * b.columns + j] ?? 0) + (a.data[i * a.columns + k] ?? 0) * (b.data[k * b.columns + j] ?? 0)
  return out
}

describe('products in blocks', () => {
  it('are the definition, whatever is left over at the edges', () => {
    fc.assert(
      fc.property(
        side,
        fc.integer({ min: 1, max: 600 }),
        fc.integer({ min: 1, max: 90 }),
        fc.nat(),
        (m, k, n, seed) => {
          const [a, b] = [random(m, k, seed), random(k, n, seed + 1)]
          const wanted = slowMultiply(a, b)
          const close = 1e-12 * Math.sqrt(k) * (1 + frobeniusNorm(wanted))
          expect(distance(multiply(a, b), wanted)).toBeLessThan(close)
          expect(distance(multiplyTransposed(a, transpose(b)), wanted)).toBeLessThan(close)
          expect(distance(transposedMultiply(transpose(a), b), wanted)).toBeLessThan(close)
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe('the decomposition of a product', () => {
  it('is that of the large matrix, for any shape and rank', () => {
    fc.assert(
      fc.property(side, side, side, fc.nat(), (m, n, r, seed) => {
        const factors = low(m, n, r, seed)
        const [found, whole] = [svdOfProduct(factors), svd(product(factors))]
        const size = whole.s[0] ?? 1
        for (const [i, value] of whole.s.entries())
          expect(Math.abs((found.s[i] ?? 0) - value)).toBeLessThan(1e-11 * size)
        expect(distance(recompose(found), product(factors))).toBeLessThan(1e-11 * size)
        expect(distance(product(balanced(found)), product(factors))).toBeLessThan(1e-11 * size)
        expect(distance(transposedMultiply(found.u, found.u), identity(found.s.length))).toBeLessThan(1e-11)
      }),
      { numRuns: 60 },
    )
  })

  it('cut to a rank has the error of the best approximation', () => {
    const factors = low(30, 20, 9, 5)
    const whole = svd(product(factors))
    for (const rank of [1, 4, 8]) {
      const { kept, energy: share } = cutSvd(svdOfProduct(factors), { rank })
      const best = distance(recompose(truncated(whole, rank)), product(factors))
      expect(distance(recompose(kept), product(factors))).toBeCloseTo(best, 10)
      expect(share).toBeCloseTo(1 - best ** 2 / energy(whole.s), 10)
    }
    expect(cutSvd(svdOfProduct(factors), { rank: 99 }).rank).toBe(9)
    expect(cutSvd(svdOfProduct(factors), { energy: 1 }).rank).toBe(9)
  })

  it('of zeros is zero, and keeps everything', () => {
    const zero = { a: matrix(3, 5), b: random(4, 3, 1) }
    expect(cutSvd(svdOfProduct(zero), { energy: 0.9 })).toMatchObject({ rank: 1, energy: 1 })
    expect(normOfProduct(zero)).toBe(0)
  })
})

describe('sums, norms, products', () => {
  it('are those of the large matrices', () => {
    fc.assert(
      fc.property(side, side, side, side, fc.nat(), (m, n, r, q, seed) => {
        const [x, y] = [low(m, n, r, seed), low(m, n, q, seed + 2)]
        const [X, Y] = [product(x), product(y)]
        const size = 1 + frobeniusNorm(X) * frobeniusNorm(Y)
        expect(
          distance(
            product(sumOf([x, y])),
            matrix(
              m,
              n,
              X.data.map((value, i) => value + (Y.data[i] ?? 0)),
            ),
          ),
        ).toBeLessThan(1e-11 * size)
        expect(Math.abs(normOfProduct(x) - frobeniusNorm(X))).toBeLessThan(1e-11 * size)
        expect(
          Math.abs(innerProduct(x, y) - X.data.reduce((sum, value, i) => sum + value * (Y.data[i] ?? 0), 0)),
        ).toBeLessThan(1e-11 * size)
      }),
      { numRuns: 40 },
    )
  })
})

describe('ranks', () => {
  const s = Float64Array.from([3, 2, 1, 1e-9])
  it('effective, stable, numerical, for an energy', () => {
    expect(effectiveRank(Float64Array.from([2, 2, 2, 0]))).toBeCloseTo(3, 12)
    expect(effectiveRank(new Float64Array(3))).toBe(0)
    expect(stableRank(s)).toBeCloseTo(14 / 9, 12)
    expect(numericalRank(s)).toBe(3)
    expect([0.1, 9 / 14, 0.7, 1].map((share) => rankForEnergy(s, share))).toEqual([1, 1, 2, 3])
    expect(rankForEnergy(s, 0.9, 100)).toBeUndefined()
  })

  it('overlap is 1 within, 0 at right angles, and the share between', () => {
    const axes = identity(5)
    const first = firstColumns(axes, 2)
    expect(subspaceOverlap(first, firstColumns(axes, 4))).toBe(1)
    const last = matrix(5, 1, Float64Array.from([0, 0, 0, 0, 1]))
    expect(subspaceOverlap(first, last)).toBe(0)
    const half = matrix(5, 1, Float64Array.from([Math.SQRT1_2, 0, 0, 0, Math.SQRT1_2]))
    expect(subspaceOverlap(first, half)).toBeCloseTo(0.5, 12)
  })
})

describe('singular values alone', () => {
  it('are those of the whole decomposition', () => {
    for (const [m, n] of [
      [1, 1],
      [12, 9],
      [9, 12],
      [40, 7],
      [64, 64],
    ] as const) {
      const a = random(m, n, m)
      const [alone, whole] = [singularValues(a), svd(a).s]
      expect(alone).toHaveLength(whole.length)
      for (const [i, value] of whole.entries())
        expect(Math.abs((alone[i] ?? 0) - value)).toBeLessThan(1e-12 * (whole[0] ?? 1))
    }
  })
})
