import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { bootstrapInterval, estimate, mean, quantile, sampleStd, seedEffects } from './statistics.ts'

interface Golden {
  samples: {
    values: number[]
    mean: number
    std: number | null
    quartiles: number[]
    ci95: [number, number]
    scipy_ci95: [number, number]
  }[]
  tables: ({ values: number[][] } & Record<'dataMeansStd' | 'initMeansStd' | 'data' | 'init' | 'rest', number>)[]
}

/** scripts/goldens/study_statistics.py */
const golden: Golden = JSON.parse(
  readFileSync(new URL('../../../test/goldens/study/statistics.json', import.meta.url), 'utf8'),
)

describe.each(golden.samples)('$values', ({ values, std, quartiles, ci95, scipy_ci95, ...numpy }) => {
  it('has numpy’s mean, spread and quartiles', () => {
    expect(mean(values)).toBeCloseTo(numpy.mean, 12)
    if (std === null) expect(sampleStd(values)).toBeNaN()
    else expect(sampleStd(values)).toBeCloseTo(std, 12)
    const sorted = [...values].sort((a, b) => a - b)
    for (const [i, quartile] of quartiles.entries()) expect(quantile(sorted, (i + 1) / 4)).toBeCloseTo(quartile, 12)
  })

  it('has the interval that numpy makes of the same resamples', () => {
    const [low, high] = bootstrapInterval(values)
    expect(low).toBeCloseTo(ci95[0], 12)
    expect(high).toBeCloseTo(ci95[1], 12)
  })

  it('has scipy’s interval but for which resamples are drawn', () => {
    const [low, high] = bootstrapInterval(values)
    // Ends of 10,000 resamples are this far from each other by chance, in standard errors of the mean.
    const chance = (0.1 * (std ?? 0)) / Math.sqrt(values.length)
    expect(Math.abs(low - scipy_ci95[0])).toBeLessThanOrEqual(chance)
    expect(Math.abs(high - scipy_ci95[1])).toBeLessThanOrEqual(chance)
  })
})

describe('estimates', () => {
  it('say nothing where there is nothing to say', () => {
    expect(estimate([])).toEqual({ n: 0, mean: null, std: null, ci95: null })
    expect(estimate([0.5])).toEqual({ n: 1, mean: 0.5, std: null, ci95: [0.5, 0.5] })
  })

  it('are the same each time', () => {
    const values = [0.1, 0.4, 0.2, 0.9]
    expect(estimate(values)).toEqual(estimate([...values]))
  })
})

describe('components of variance', () => {
  it.each(golden.tables)('of a table are numpy’s', ({ values, ...expected }) => {
    const found = seedEffects(values)
    for (const name of ['dataMeansStd', 'initMeansStd', 'data', 'init', 'rest'] as const)
      expect(found?.[name], name).toBeCloseTo(expected[name], 12)
  })

  it('name the seeds that matter', () => {
    const byData = [0, 1, 2, 3].map((row) => [0, 1, 2].map(() => row))
    expect(seedEffects(byData)).toMatchObject({ init: 0, rest: 0, data: sampleStd([0, 1, 2, 3]) })
  })

  it('need two of each and every value', () => {
    expect(seedEffects([[1, 2, 3]])).toBeUndefined()
    expect(seedEffects([[1], [2]])).toBeUndefined()
    expect(
      seedEffects([
        [1, null],
        [2, 3],
      ]),
    ).toBeUndefined()
    expect(seedEffects([])).toBeUndefined()
  })
})
