import { describe, expect, it } from 'vitest'
import { graphOf } from '../graph/graph.ts'
import { newBuilder } from '../ops/index.ts'
import type { Dim } from '../tensor/dim.ts'
import { bindDims } from './bind-dims.ts'

/** Binds inputs given as name → [dims, actual shape]. */
function bind(inputs: Readonly<Record<string, readonly [readonly Dim[], readonly number[]]>>): Record<string, number> {
  const g = newBuilder()
  const outputs = Object.entries(inputs).map(
    ([name, [shape]]) => [`${name} out`, g.feed(name, { dtype: 'f32', shape })] as const,
  )
  const shapes = new Map(Object.entries(inputs).map(([name, [, actual]]) => [name, actual]))
  return Object.fromEntries(bindDims(graphOf(outputs).inputs, shapes))
}

describe('bindDims', () => {
  it('reads plain symbols', () => {
    expect(
      bind({
        x: [
          ['batch', 'seq', 4],
          [2, 3, 4],
        ],
        y: [['seq'], [3]],
      }),
    ).toEqual({ batch: 2, seq: 3 })
  })

  it('solves what is linear in one unknown, whatever the order of inputs', () => {
    expect(bind({ mask: [['past+seq'], [7]], x: [['seq'], [3]] })).toEqual({ past: 4, seq: 3 })
    expect(bind({ flat: [['batch*seq'], [6]], x: [['batch'], [2]] })).toEqual({ batch: 2, seq: 3 })
  })

  it('names the input that contradicts, and who said otherwise', () => {
    expect(() =>
      bind({
        x: [
          ['batch', 4],
          [2, 4],
        ],
        y: [['batch'], [3]],
      }),
    ).toThrow("input 'y' has shape [3]: axis 0 should be batch = 2 (batch = 2 from 'x')")
    expect(() =>
      bind({
        x: [
          ['batch', 4],
          [2, 5],
        ],
      }),
    ).toThrow("input 'x' has shape [2,5]: axis 1 should be 4")
    expect(() => bind({ x: [['batch', 4], [2]] })).toThrow("input 'x' has shape [2], expected [batch, 4]")
  })

  it('says what it cannot resolve', () => {
    expect(() => bind({ x: [['a*b'], [6]] })).toThrow("dimension 'a*b' of input 'x' cannot be resolved")
    expect(() => bind({ x: [['2*a'], [5]] })).toThrow("dimension '2*a' of input 'x' cannot be resolved")
  })
})
