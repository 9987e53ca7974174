import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isBio } from '../data/bio-labels.ts'
import { classMetrics, entityMetrics, numberMetrics } from './metrics.ts'

describe('metrics of classes', () => {
  it('are scikit-learn’s', () => {
    const found = classMetrics({ actual: [0, 1, 2, 2, 1, 0], predicted: [0, 2, 2, 2, 1, 1] }, 3)
    expect(found.accuracy).toBeCloseTo(4 / 6, 12)
    expect(found.macroF1).toBeCloseTo((2 / 3 + 1 / 2 + 4 / 5) / 3, 12)
    expect(found.matthews).toBeCloseTo(12 / Math.sqrt(22 * 24), 12)
  })

  it('leave a class out that nobody names, and give 0 for one answer to all', () => {
    const found = classMetrics({ actual: [0, 1], predicted: [0, 0] }, 5)
    expect(found.macroF1).toBeCloseTo((2 / 3 + 0) / 2, 12)
    expect(found.matthews).toBe(0)
  })

  it('are 1 where all is right, in any order of the rows', () => {
    const classes = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 2 }).filter((list) => new Set(list).size > 1)
    fc.assert(
      fc.property(classes, (actual) => {
        for (const value of Object.values(classMetrics({ actual, predicted: actual }, 4)))
          expect(value).toBeCloseTo(1, 9)
      }),
    )
  })
})

describe('metrics of numbers', () => {
  it('are SciPy’s, ties at their mean rank', () => {
    const found = numberMetrics({ actual: [1, 3, 2, 5], predicted: [1, 2, 3, 4] })
    expect(found.pearson).toBeCloseTo(5.5 / Math.sqrt(5 * 8.75), 12)
    expect(found.spearman).toBeCloseTo(0.8, 12)
    expect(numberMetrics({ actual: [1, 1, 2, 3], predicted: [1, 2, 3, 4] }).spearman).toBeCloseTo(
      4.5 / Math.sqrt(5 * 4.5),
      12,
    )
    expect(numberMetrics({ actual: [1, 2], predicted: [3, 3] })).toEqual({ pearson: 0, spearman: 0 })
  })
})

describe('metrics of entities', () => {
  const labels = ['O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER']

  it('count whole entities alone', () => {
    // Of three: one is found whole, one is cut short, one is missed; and one is found that is none.
    const actual = [1, 2, 0, 3, 4, 0, 1, 0]
    const predicted = [1, 2, 0, 3, 0, 0, 0, 3]
    const found = entityMetrics([{ actual, predicted }], labels)
    expect(found).toEqual({ precision: 1 / 3, recall: 1 / 3, f1: 1 / 3 })
  })

  it('end with their text, and begin with a stray I-', () => {
    const twice = { actual: [1, 2], predicted: [2, 2] }
    expect(entityMetrics([twice, twice], labels)).toEqual({ precision: 1, recall: 1, f1: 1 })
    expect(entityMetrics([{ actual: [1, 3], predicted: [1, 4] }], labels).f1).toBe(1)
  })

  it('are for BIO labels', () => {
    expect(isBio(labels)).toBe(true)
    expect(isBio(['O', 'NOUN'])).toBe(false)
    expect(isBio(['O'])).toBe(false)
  })
})
