import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Arithmetic, combineValues, type Term } from './arithmetic.ts'

const term = (values: number[], weight = 1, name = 't'): Term => ({ values: Float64Array.from(values), weight, name })
const how = (more: Partial<Arithmetic> = {}): Arithmetic => ({ density: 1, seed: 0, ...more })
const numbers = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 40 })

describe('sums of tensors', () => {
  it('are weighted sums where nothing is pruned or elected', () => {
    fc.assert(
      fc.property(numbers, fc.integer({ min: -4, max: 4 }), (values, weight) => {
        const sum = combineValues([term(values, weight), term(values, 2)], how())
        expect([...sum]).toEqual(values.map((value) => weight * value + 2 * value))
      }),
    )
  })

  it('keep the largest values, their number rounded down, of equal ones the first', () => {
    expect([...combineValues([term([1, -3, 2, -3, 0.5])], how({ keep: 'largest', density: 0.5 }))]).toEqual([
      0, -3, 0, -3, 0,
    ])
    expect([...combineValues([term([1, 1, 1])], how({ keep: 'largest', density: 0.4 }))]).toEqual([1, 0, 0])
  })

  it('average what has the sign of the sum, or of most', () => {
    const terms = [term([5, 1, 0]), term([-1, -3, 0]), term([-2, 1, 0])]
    expect([...combineValues(terms, how({ elect: 'total' }))]).toEqual([5, -3, 0])
    expect([...combineValues(terms, how({ elect: 'frequency' }))]).toEqual([-1.5, 1, 0])
  })

  it('drop at random: about the density stays, its mean is the whole, and a seed draws the same', () => {
    const values = Array.from({ length: 400 }, (_, i) => 1 + (i % 7))
    const draw = (seed: number, name = 't'): Float64Array =>
      combineValues([term(values, 1, name)], how({ keep: 'random', density: 0.25, seed }))
    expect(draw(3)).toEqual(draw(3))
    expect(draw(3)).not.toEqual(draw(4))
    expect(draw(3)).not.toEqual(draw(3, 'other'))
    const draws = 300
    let [kept, sum] = [0, 0]
    for (let seed = 0; seed < draws; seed++)
      for (const [i, value] of draw(seed).entries()) {
        if (value === 0) continue
        expect(value).toBe(4 * (values[i] ?? 0))
        kept++
        sum += value
      }
    const whole = draws * values.length
    expect(kept / whole).toBeCloseTo(0.25, 2)
    expect(sum / draws / values.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 1)
  })
})
