/** The table that fills while a study's runs go on, as a terminal has it and as a file has it. */
import { describe, expect, it } from 'vitest'
import { recorder } from '../../../test/setup/terminal-recorder.ts'
import { groupsOf } from '../../run/study/groups.ts'
import type { StudyEvent, StudyRun } from '../../run/study/types.ts'
import type { StepEvent } from '../../run/types.ts'
import { followStudy } from './study.ts'

const settings = [
  { name: 'a', own: {} },
  { name: 'b', own: { rank: 4 } },
]

function run(setting: string, seed: number, value: number): StudyRun {
  return {
    ...{
      setting,
      dataSeed: seed,
      initSeed: seed,
      value,
      failed: value < 0.5,
      status: 'done',
      figures: { accuracy: value },
    },
    ...{ constant: { accuracy: 0.5 }, evaluations: [], steps: 10, seconds: 2, folder: `runs/${setting}/seed-${seed}` },
  }
}

const step: StepEvent = {
  ...{ type: 'step', step: 5, totalSteps: 10, epoch: 0.5, loss: 1, learningRate: 1e-4, gradNorm: 1, tokens: 512 },
  ...{ tokensPerSecond: 100, elapsedSeconds: 1, remainingSeconds: 1, peakMemoryBytes: 1, logged: false },
}
const [first, second] = [run('a', 1, 0.75), run('b', 1, 0.25)]
const groups = (...runs: StudyRun[]): StudyEvent => ({
  ...{ type: 'groups', metric: 'accuracy', groups: groupsOf(settings, runs, false) },
})
const events: StudyEvent[] = [
  { type: 'start', output: 'runs/s', settings: ['a', 'b'], total: 2, done: 0, workers: 1 },
  { type: 'begin', setting: 'a', dataSeed: 1, initSeed: 1 },
  { ...step, setting: 'a', dataSeed: 1, initSeed: 1 },
  { type: 'run', run: first, done: 1, total: 2 },
  groups(first),
  { type: 'run', run: second, done: 2, total: 2 },
  groups(first, second),
]

/** Half a second from event to event. */
function follow(live: boolean, width?: number) {
  const { terminal, said, bars } = recorder(width)
  let now = 0
  const show = followStudy({ ...terminal, live }, () => now)
  for (const event of events) {
    now += 500
    show(event)
  }
  return { said, bars }
}

describe('followStudy', () => {
  it('draws how far each run is, and each setting as soon as it has a figure', () => {
    const { said, bars } = follow(true)
    expect(said).toEqual(['study: 2 settings, 2 runs; writes runs/s'])
    expect(bars.some((bar) => /0 of 2 runs.* {2}a seed 1 50 %/.test(bar))).toBe(true)
    const after = bars.find((bar) => /1 of 2 runs/.test(bar) && bar.includes('accuracy')) ?? ''
    expect(after).toMatch(/^ *a +1\/1 +0\.7500/m)
    expect(after).toMatch(/, .* a run, .* left$/)
    const last = bars.at(-1) ?? ''
    expect(last).toMatch(/^ *b +1\/1 +0\.2500 .*1 \(100 %\)$/m)
    expect(last).toMatch(/2 of 2 runs/)
  })

  it('keeps each line within the terminal, so that it can be taken away again', () => {
    for (const bar of follow(true, 24).bars)
      for (const line of bar.split('\n')) expect(line.length).toBeLessThanOrEqual(24)
  })

  it('says a line a run where nothing moves, and which failed', () => {
    const { said, bars } = follow(false)
    expect(bars).toEqual([])
    expect(said[1]).toMatch(/^a seed 1 {2}0\.7500 {2}1 of 2 runs/)
    expect(said[2]).toMatch(/^b seed 1 {2}0\.2500 {2}failed: no better than the commonest label {2}2 of 2 runs/)
  })
})
