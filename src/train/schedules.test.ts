import { describe, expect, it } from 'vitest'
import { scheduleFactor, warmupSteps } from './schedules.ts'

const curve = (name: 'constant' | 'linear' | 'cosine', warmup: number, total: number): number[] =>
  Array.from({ length: total }, (_, step) => scheduleFactor(name, step, warmup, total))

describe('warm-up', () => {
  it('is a number of steps, or a share below 1 rounded up to a step', () => {
    expect(warmupSteps(0, 100)).toBe(0)
    expect(warmupSteps(0.03, 100)).toBe(3)
    expect(warmupSteps(0.03, 101)).toBe(4)
    expect(warmupSteps(0.03, 10)).toBe(1)
    expect(warmupSteps(1, 100)).toBe(1)
    expect(warmupSteps(20, 100)).toBe(20)
  })
})

// transformers 5: [lambda(step) for step in range(10)] of get_*_schedule_with_warmup(optimizer, 2, 10).
describe('schedules', () => {
  it('constant', () => expect(curve('constant', 2, 10)).toEqual([0, 0.5, 1, 1, 1, 1, 1, 1, 1, 1]))
  it('linear', () => expect(curve('linear', 2, 10)).toEqual([0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]))
  it('cosine', () => {
    const known = [0, 0.5, 1, 0.9619397662556434, 0.8535533905932737, 0.6913417161825449, 0.5]
    known.forEach((value, step) => {
      expect(scheduleFactor('cosine', step, 2, 10)).toBeCloseTo(value, 12)
    })
  })
  it('never fall below nothing, and warm up even where nothing is left', () => {
    expect(scheduleFactor('linear', 12, 2, 10)).toBe(0)
    expect(scheduleFactor('cosine', 0, 5, 5)).toBe(0)
    expect(scheduleFactor('linear', 0, 0, 1)).toBe(1)
  })
})
