import { describe, expect, it } from 'vitest'
import { constantAnswer } from './constant-answer.ts'
import { byMetric, checkMetric, differencesOf, groupsOf, isFailed, metricOf } from './groups.ts'
import type { StudyRun } from './types.ts'

function run(setting: string, seed: number, value: number | null, more: Partial<StudyRun> = {}): StudyRun {
  return {
    ...{ setting, dataSeed: seed, initSeed: seed, value, failed: value === null },
    ...{ status: value === null ? 'crashed' : 'done', figures: value === null ? {} : { accuracy: value } },
    ...{ constant: {}, evaluations: [], steps: 1, seconds: 1, folder: `runs/${setting}/seed-${seed}` },
    ...more,
  }
}

const settings = [
  { name: 'a', own: {} },
  { name: 'b', own: { rank: 4 } },
]

describe('a metric', () => {
  it('that the runs have not is refused with those that they have', () => {
    const figures = { loss: 0.1, accuracy: 0.9 }
    for (const metric of ['auto', 'loss', 'accuracy']) expect(() => checkMetric(metric, figures)).not.toThrow()
    expect(() => checkMetric('pearson', figures)).toThrow(/these runs have no pearson; they have loss, accuracy/)
  })
})

describe('groups', () => {
  it('hold what has a value, and count what failed besides', () => {
    const runs = [run('a', 1, 0.5), run('a', 2, 0.7), run('a', 3, null), run('b', 1, 0.6)]
    expect(groupsOf(settings, runs, false)).toMatchObject([
      { name: 'a', n: 2, runs: 3, mean: 0.6, failed: 1, failedShare: 1 / 3, min: 0.5, max: 0.7, median: 0.6 },
      { name: 'b', n: 1, runs: 1, mean: 0.6, std: null, failed: 0, settings: { rank: 4 } },
    ])
  })

  it('of which no run is done say nothing', () => {
    expect(groupsOf(settings, [], false)[0]).toMatchObject({ n: 0, runs: 0, mean: null, ci95: null, failedShare: 0 })
  })

  it('are compared by seed, where both have a value', () => {
    const runs = [run('a', 1, 0.5), run('a', 2, 0.9), run('a', 4, null), run('b', 2, 0.8), run('b', 1, 0.7)]
    const [difference, ...none] = differencesOf(['a', 'b'], [...runs, run('b', 3, 0.1), run('b', 4, 0.2)])
    expect(none).toEqual([])
    expect(difference).toMatchObject({ name: 'b', against: 'a', n: 2 })
    expect(difference?.mean).toBeCloseTo((0.7 - 0.5 + 0.8 - 0.9) / 2, 12)
  })

  it('tell the effects of both kinds of seed apart', () => {
    const runs = [1, 2].flatMap((dataSeed) =>
      [1, 2].map((initSeed) => run('a', 0, dataSeed + initSeed / 10, { dataSeed, initSeed })),
    )
    const [group] = groupsOf(settings, runs, true)
    expect(group?.effects?.data).toBeCloseTo(Math.SQRT1_2, 12)
    expect(group?.effects?.init).toBeCloseTo(Math.SQRT1_2 / 10, 12)
    expect(group?.effects?.rest).toBeCloseTo(0, 12)
  })
})

describe('the metric', () => {
  it('follows from what the task has', () => {
    expect(metricOf('auto', { loss: 1, accuracy: 0.5, f1: 0.2 })).toBe('f1')
    expect(metricOf('auto', { loss: 1, pearson: 0.5, spearman: 0.2 })).toBe('pearson')
    expect(metricOf('auto', { loss: 1, accuracy: 0.5, macroF1: 0.2 })).toBe('accuracy')
    expect(metricOf('auto', { loss: 1 })).toBe('loss')
    expect(metricOf('matthews', { loss: 1, accuracy: 1 })).toBe('matthews')
  })

  it('may be another one later: every figure is kept', () => {
    const done = run('a', 1, 0.5, { figures: { accuracy: 0.5, loss: 0.7 }, constant: { accuracy: 0.5 } })
    expect(byMetric(done, 'accuracy')).toMatchObject({ value: 0.5, failed: true })
    expect(byMetric(done, 'loss')).toMatchObject({ value: 0.7, failed: false })
    expect(byMetric(done, 'pearson')).toMatchObject({ value: null, failed: true })
  })
})

describe('a run fails', () => {
  it('where it is not above the share of the commonest label', () => {
    const constant = constantAnswer({ yes: 30, no: 20 }, { accuracy: 0.6 })
    expect(constant).toEqual({ accuracy: 0.6, macroF1: expect.closeTo(0.375, 12), matthews: 0 })
    expect(isFailed('accuracy', 0.6, constant)).toBe(true)
    expect(isFailed('accuracy', 0.61, constant)).toBe(false)
    expect(isFailed('macroF1', constant.macroF1 ?? 0, constant)).toBe(true)
    expect(isFailed('matthews', 0.01, constant)).toBe(false)
    expect(isFailed('loss', 9, constant)).toBe(false)
  })

  it('where it has no value, and where no order is found', () => {
    expect(isFailed('accuracy', null, {})).toBe(true)
    expect(isFailed('pearson', -0.1, constantAnswer(undefined, { loss: 1, pearson: -0.1 }))).toBe(true)
    expect(constantAnswer({ a: 0, b: 0 }, {})).toEqual({})
  })
})
