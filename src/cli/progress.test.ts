import { describe, expect, it } from 'vitest'
import { plain, recorder } from '../../test/setup/terminal-recorder.ts'
import type { StepEvent } from '../run/types.ts'
import { LowrankError } from '../support/errors.ts'
import { errorReport, errorText, exitCode } from './errors.ts'
import { followProgress } from './progress.ts'

function step(number: number, logged: boolean): StepEvent {
  return {
    ...{
      type: 'step',
      step: number,
      totalSteps: 40,
      epoch: number / 20,
      loss: 2.34567,
      learningRate: 1.5e-4,
      gradNorm: 0.8123,
    },
    ...{
      tokens: 512 * number,
      tokensPerSecond: 1234.5,
      elapsedSeconds: number,
      remainingSeconds: 75,
      peakMemoryBytes: 5e8,
      logged,
    },
  }
}

describe('progress', () => {
  it('keeps a line for each logged step and moves a bar with rate and time left', () => {
    const { terminal, said, bars } = recorder()
    let clock = 0
    const progress = followProgress(terminal, () => clock)
    for (let n = 1; n <= 20; n++) {
      clock += 50
      progress.show(step(n, n % 10 === 0))
    }
    expect(said).toEqual([
      'step 10/40        loss 2.3457  rate 1.5e-4  grad 0.812  1,235 tokens/s  epoch 0.50',
      'step 20/40        loss 2.3457  rate 1.5e-4  grad 0.812  1,235 tokens/s  epoch 1.00',
    ])
    expect(bars.length).toBeLessThan(20)
    expect(bars.at(-1)).toMatch(/^█{11}▍? .* 47 % {2}step 19\/40 {2}loss 2\.346 {2}1 min 15 s left {2}1,235 tokens\/s/)
  })

  it('never draws wider than the terminal', () => {
    const { terminal, bars } = recorder(60)
    let clock = 0
    const progress = followProgress(terminal, () => clock)
    for (const done of [0, 5e8, 1e9]) {
      clock += 1000
      progress.show({
        type: 'progress',
        label: 'download model-00001-of-00002.safetensors',
        done,
        total: 1e9,
        unit: 'bytes',
      })
    }
    for (const bar of bars) expect(bar.length).toBeLessThanOrEqual(60)
  })

  it('says rate and time left of a download', () => {
    const { terminal, bars } = recorder(120)
    let clock = 0
    const progress = followProgress(terminal, () => clock)
    for (const done of [0, 1e8, 2e8]) {
      progress.show({ type: 'progress', label: 'download x', done, total: 4e8, unit: 'bytes' })
      clock += 1000
    }
    expect(bars.at(-1)).toMatch(/50 % {2}download x {2}191 MiB of 381 MiB {2}95\.4 MiB\/s {2}2\.0 s left$/)
  })
})

describe('errors', () => {
  it('say one message, the place it does not name, and what was probably meant', () => {
    const error = new LowrankError('config', 'rank is 0', { file: 'a.json', field: 'r', suggestion: 'rank' })
    expect(errorText(error, plain)).toBe('lowrank: rank is 0\n  in a.json\n  did you mean rank?')
    const advice = new LowrankError('missing', 'a.json: gone', { file: 'a.json', suggestion: 'make it first' })
    expect(errorText(advice, plain)).toBe('lowrank: a.json: gone\n  make it first')
  })

  it('exit 2 for wrong usage, 130 when stopped, else 1', () => {
    expect(
      [new LowrankError('usage', ''), new LowrankError('stopped', ''), new LowrankError('io', ''), new Error('x')].map(
        exitCode,
      ),
    ).toEqual([2, 130, 1, 1])
  })

  it('own faults that were not foreseen', () => {
    expect(errorReport(new Error('internal: no such thing\n at x'))).toEqual({
      error: {
        code: 'internal',
        message: expect.stringMatching(/^internal: no such thing This is a fault of lowrank/),
      },
    })
  })
})
