/** @file What the preflight decides, says and refuses, for steps of any size. */
import { describe, expect, it } from 'vitest'
import { LowrankError } from '../../support/errors.ts'
import { decide, type Predictions } from './preflight.ts'

const GB = 1e9
const settings = { recompute: 'auto', batchSize: 8, gradAccumulation: 2 } as const

/** A step whose memory grows with the batch, a tenth of it where activations are recomputed. */
function growing(perRow: number): (recompute: boolean) => Promise<Predictions> {
  return async (recompute) => ({
    predict: ({ batch }) => ({ secondsPerStep: 1, peakMemoryBytes: GB + batch * perRow * (recompute ? 0.1 : 1) }),
    shape: { batch: 8, seq: 100, labelled: 50 },
    secondsPerStep: recompute ? 1.3 : 1,
  })
}

describe('decide', () => {
  const memory = { held: GB, free: 10 * GB }

  it('says what a step takes, and leaves what fits alone', async () => {
    const { recompute, events } = await decide(settings, memory, growing(0.9 * GB))
    expect(recompute).toBe(false)
    expect(events).toEqual([
      {
        type: 'preflight',
        secondsPerStep: 1,
        peakMemoryBytes: GB + 8 * 0.9 * GB,
        freeMemoryBytes: 10 * GB,
        recompute: false,
      },
    ])
  })

  it('recomputes where four fifths of free memory would not do', async () => {
    const { recompute, events } = await decide(settings, memory, growing(1.1 * GB))
    expect(recompute).toBe(true)
    expect(events.map(({ type }) => type)).toEqual(['preflight', 'notice'])
    expect(events[0]).toMatchObject({ secondsPerStep: 1.3, recompute: true })
  })

  it('proposes to recompute where that was switched off', async () => {
    const { recompute, events } = await decide({ ...settings, recompute: 'off' }, memory, growing(1.1 * GB))
    expect(recompute).toBe(false)
    expect(events.at(-1)).toMatchObject({ type: 'notice', message: expect.stringContaining('try --recompute') })
    await expect(decide({ ...settings, recompute: 'off' }, memory, growing(2 * GB))).rejects.toMatchObject({
      code: 'usage',
      field: 'batchSize',
      suggestion: 'try --recompute',
    })
  })

  it('refuses what cannot fit, and names a batch that does', async () => {
    const refused = await decide(settings, memory, growing(20 * GB)).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(LowrankError)
    expect(refused).toMatchObject({ suggestion: 'try --batch-size 4 --grad-accumulation 4' })
    await expect(decide(settings, memory, growing(200 * GB))).rejects.toMatchObject({
      suggestion: expect.stringContaining('--max-length'),
    })
  })

  it('decides as asked where the engine cannot tell', async () => {
    for (const recompute of ['auto', 'on', 'off'] as const)
      expect(await decide({ ...settings, recompute }, memory, async () => undefined)).toEqual({
        recompute: recompute === 'on',
        events: [],
      })
  })
})
