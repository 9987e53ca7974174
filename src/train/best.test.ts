import { describe, expect, it } from 'vitest'
import { figureOf, isBetter } from './best.ts'

const one = (loss: number, metrics: Record<string, number> = {}) => ({ step: 1, loss, metrics })

describe('the best evaluation', () => {
  it('is told by the figure of the task', () => {
    expect(figureOf({})).toBe('loss')
    expect(figureOf({ accuracy: 0.5, macroF1: 0.4, matthews: 0.1 })).toBe('accuracy')
    expect(figureOf({ accuracy: 0.5, precision: 0.5, recall: 0.5, f1: 0.5 })).toBe('f1')
    expect(figureOf({ pearson: 0.5, spearman: 0.4 })).toBe('spearman')
  })

  it('has the highest figure, of equals the lowest loss, and of equals the first', () => {
    expect(isBetter(one(9), null)).toBe(true)
    expect(isBetter(one(0.4), one(0.5))).toBe(true)
    expect(isBetter(one(0.5), one(0.5))).toBe(false)
    expect(isBetter(one(0.9, { accuracy: 0.8 }), one(0.1, { accuracy: 0.7 }))).toBe(true)
    expect(isBetter(one(0.1, { accuracy: 0.6 }), one(0.9, { accuracy: 0.7 }))).toBe(false)
    expect(isBetter(one(0.1, { accuracy: 0.7 }), one(0.2, { accuracy: 0.7 }))).toBe(true)
    expect(isBetter(one(0.2, { accuracy: 0.7 }), one(0.2, { accuracy: 0.7 }))).toBe(false)
  })
})
