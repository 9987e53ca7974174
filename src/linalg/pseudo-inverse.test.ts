import { describe, expect, it } from 'vitest'
import { RandomStream } from '../support/random.ts'
import { symmetricEigen, symmetricPseudoInverse } from './pseudo-inverse.ts'

/** X·Xᵀ of a random X `[n, rank]`. */
function gram(n: number, rank: number): Float64Array {
  const random = new RandomStream(3, `gram/${n}/${rank}`)
  const x = Float64Array.from({ length: n * rank }, () => random.normal())
  return product(
    x,
    Float64Array.from({ length: n * rank }, (_, i) => x[(i % n) * rank + Math.floor(i / n)] ?? 0),
    n,
    rank,
    n,
  )
}

function product(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      for (let k = 0; k < inner; k++)
        out[i * columns + j] = (out[i * columns + j] ?? 0) + (a[i * inner + k] ?? 0) * (b[k * columns + j] ?? 0)
  return out
}

const farthest = (a: Float64Array, b: Float64Array): number => Math.max(...a.map((v, i) => Math.abs(v - (b[i] ?? 0))))

describe('pseudo-inverse of a symmetric matrix', () => {
  it.each([
    [1, 1],
    [5, 9],
    [8, 8],
    [6, 2],
    [7, 3],
  ])('meets the Moore-Penrose conditions at %i of rank %i', (n, rank) => {
    const m = gram(n, rank)
    const inverse = symmetricPseudoInverse(m, n, 1e-10)
    const left = product(m, inverse, n, n, n)
    expect(farthest(product(left, m, n, n, n), m)).toBeLessThan(1e-8)
    expect(farthest(product(product(inverse, m, n, n, n), inverse, n, n, n), inverse)).toBeLessThan(1e-5)
    const transposed = left.map((_, i) => left[(i % n) * n + Math.floor(i / n)] ?? 0)
    expect(farthest(left, transposed)).toBeLessThan(1e-7)
  })

  it('cuts what is small beside the largest', () => {
    const found = symmetricPseudoInverse(Float64Array.of(1, 0, 0, 1e-9), 2, 1e-8)
    expect([...found]).toEqual([1, 0, 0, 0])
    expect([...symmetricPseudoInverse(new Float64Array(4), 2, 1e-8)]).toEqual([0, 0, 0, 0])
  })

  it('finds eigenvalues', () => {
    const { values } = symmetricEigen(Float64Array.of(2, 1, 1, 2), 2)
    expect([...values].sort()).toEqual([expect.closeTo(1, 12), expect.closeTo(3, 12)])
  })
})
