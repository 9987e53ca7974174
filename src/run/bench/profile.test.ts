/** @file A profile's sums are those of its timings, and its page shows them. */
import { describe, expect, it } from 'vitest'
import type { Profile } from '../../engine/engine.ts'
import { profileFrom } from './profile.ts'
import { renderProfile } from './profile-page.ts'

const profile: Profile = {
  runs: 2,
  seconds: 0.01,
  timings: [
    {
      op: 'matmul',
      scope: 'model.layers.0.q',
      phase: 'forward',
      kernel: 'MatMul',
      seconds: 0.002,
      flops: 4e8,
      bytes: 2e6,
    },
    { op: 'mul', scope: '', phase: 'forward', kernel: 'Mul', seconds: 0.001, flops: 0, bytes: 3e7 },
    {
      op: 'matmul',
      scope: 'model.layers.1.q',
      phase: 'backward',
      kernel: 'MatMul',
      seconds: 0.003,
      flops: 6e8,
      bytes: 3e6,
    },
    { op: 'mul', scope: '', phase: 'update', kernel: 'Mul', seconds: 0.002, flops: 0, bytes: 3e7 },
  ],
  held: [10, 30, 20, 5],
}

describe('profileFrom', () => {
  const found = profileFrom(profile, 'page.html')

  it('sums by phase, op and place', () => {
    expect(found.phases.map(({ phase, seconds }) => [phase, seconds])).toEqual([
      ['forward', 0.003],
      ['backward', 0.003],
      ['update', 0.002],
    ])
    expect(found.outside).toBeCloseTo(0.2)
    expect(found.ops).toEqual([
      {
        name: 'matmul',
        calls: 2,
        seconds: 0.005,
        forward: 0.002,
        backward: 0.003,
        update: 0,
        gflops: 200,
        gigabytes: 1,
      },
      { name: 'mul', calls: 2, seconds: 0.003, forward: 0.001, backward: 0, update: 0.002, gigabytes: 20 },
    ])
    expect(found.places.map(({ name, calls }) => [name, calls])).toEqual([
      ['model.layers.*.q', 2],
      ['(outside)', 2],
    ])
  })

  it('follows memory over the step', () => {
    expect(found.peakBytes).toBe(30)
    expect(found.memory.map(({ bytes }) => bytes)).toEqual([10, 30, 20, 5])
    expect(found.memory.at(-1)?.at).toBe(1)
  })

  it('makes a page', () => {
    const side = { tokensPerSecond: 1, rowsPerSecond: 1, secondsPerStep: 1, peakMemoryBytes: 1, padding: 0 }
    const page = renderProfile({
      machine: { cpu: 'a <processor>', cores: 2, memoryBytes: 1 },
      model: { name: 'tiny', parameters: 1, trainable: 1 },
      settings: {
        ...{ task: 'causal-lm', sequence: 8, batchSize: 1, rank: 8, dropout: 0, steps: 1 },
        ...{ threads: 1, engine: 'e', recompute: false },
      },
      lowrank: { ...side, loadSeconds: 1, loadedBytes: 1 },
      limit: { gflops: 1, tokensPerSecond: 1, share: 1 },
      profile: found,
    })
    expect(page).toContain('a &lt;processor&gt;')
    expect(page).toMatch(/<th scope="row">matmul<\/th>.*<td>5 ms<\/td><td>50 %<\/td><td>2<\/td><td>200<\/td>/)
    expect(page).toMatch(/<th scope="row">model\.layers\.\*\.q<\/th>/)
  })
})
