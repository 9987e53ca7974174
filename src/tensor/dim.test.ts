import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addDims, broadcastShapes, type Dim, dim, evaluateDim, mulDims, sizeOfShape, symbolsOf } from './dim.ts'

const symbols = ['batch', 'past', 'seq'] as const
const dims: fc.Arbitrary<Dim> = fc.letrec<{ dim: Dim }>((tie) => ({
  dim: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Dim>(...symbols),
    fc.integer({ min: -4, max: 6 }),
    fc.tuple(tie('dim'), tie('dim')).map(([a, b]) => addDims(a, b)),
    fc.tuple(tie('dim'), tie('dim')).map(([a, b]) => mulDims(a, b)),
  ),
})).dim
const values = fc
  .tuple(fc.nat(9), fc.nat(9), fc.nat(9))
  .map((v) => new Map(symbols.map((name, i) => [name as string, v[i] ?? 0])))

describe('dimensions', () => {
  it('are a commutative ring whose equal members are identical', () => {
    fc.assert(
      fc.property(dims, dims, dims, (a, b, c) => {
        expect(addDims(a, b)).toBe(addDims(b, a))
        expect(mulDims(a, b)).toBe(mulDims(b, a))
        expect(addDims(addDims(a, b), c)).toBe(addDims(a, addDims(b, c)))
        expect(mulDims(mulDims(a, b), c)).toBe(mulDims(a, mulDims(b, c)))
        expect(mulDims(a, addDims(b, c))).toBe(addDims(mulDims(a, b), mulDims(a, c)))
        expect(addDims(a, 0)).toBe(a)
        expect(mulDims(a, 1)).toBe(a)
        expect(mulDims(a, 0)).toBe(0)
        expect(addDims(a, mulDims(a, -1))).toBe(0)
      }),
    )
  })

  it('evaluate as they are built', () => {
    fc.assert(
      fc.property(dims, dims, values, (a, b, known) => {
        // + 0 makes −0 of a product with zero plain.
        expect(evaluateDim(addDims(a, b), known)).toBe(evaluateDim(a, known) + evaluateDim(b, known) + 0)
        expect(evaluateDim(mulDims(a, b), known) + 0).toBe(evaluateDim(a, known) * evaluateDim(b, known) + 0)
      }),
    )
  })

  it('read their own canonical text', () => {
    fc.assert(fc.property(dims, (a) => dim(a) === a))
    expect(dim('seq*batch+seq*batch')).toBe('2*batch*seq')
    expect(addDims('past', 'seq', 1)).toBe('past+seq+1')
    expect(sizeOfShape(['batch', 'seq', 64])).toBe('64*batch*seq')
    expect(symbolsOf('2*batch*seq+past').sort()).toEqual(['batch', 'past', 'seq'])
  })

  it('refuse what is no dimension, and a symbol without a value', () => {
    expect(() => dim('a-b')).toThrow("'a-b' is not a dimension")
    expect(() => evaluateDim('seq', new Map())).toThrow("dimension 'seq' has no value")
  })

  it('broadcast as NumPy does', () => {
    expect(broadcastShapes(['batch', 1, 4], ['seq', 1])).toEqual(['batch', 'seq', 4])
    expect(broadcastShapes([3], [])).toEqual([3])
    expect(broadcastShapes(['batch'], ['seq'])).toBeUndefined()
  })
})
