/** @file Estimates follow what a graph computes: shapes, thin products, packed weights, recomputation. */
import { describe, expect, it } from 'vitest'
import { toyDims, toyTraining } from '../../../test/setup/toy-model.ts'
import { prepare } from '../../engine/prepare.ts'
import { graphOf } from '../../graph/graph.ts'
import { newBuilder } from '../../ops/index.ts'
import { numberedBlock, recompute } from '../../passes/recompute.ts'
import { keptComposites } from './lowerings.ts'
import { workloadOf } from './workload.ts'

describe('workloadOf', () => {
  const g = newBuilder()
  const x = g.feed('x', { dtype: 'f32', shape: ['n', 64] })
  const y = g.matmul(x, g.weight('w', [96, 64]), { transB: true })
  const graph = graphOf([
    ['sum', g.add(y, g.state('s', [96]))],
    ['back', g.matmul(y, g.weight('w', [96, 64]))],
  ])
  const dims = new Map([['n', 128]])

  it('counts products at the rate of their least extent, and bytes of everything else', () => {
    const work = workloadOf(graph, dims, {})
    expect(work.products).toBe(2 * (2 * 128 * 96 * 64) * ((64 + 32) / 64))
    expect(work.moved).toBe(2 * (4 * 96 * 64) + 4 * (128 * 96 + 96 + 128 * 96))
    expect([work.kernels, work.state]).toEqual([3, 4 * 96])
  })

  it('holds a packed copy for each product, or one copy where memory goes first', () => {
    const weight = 4 * 96 * 64
    expect(workloadOf(graph, dims, {}).weights).toBeCloseTo(1.11 * 2 * weight)
    expect(workloadOf(graph, dims, { lean: true }).weights).toBe(weight)
  })

  it('sees that masks over what is fed are drawn beforehand, unless memory goes first', () => {
    const key = g.feed('keys', { dtype: 'u32', shape: ['n'] })
    const masked = graphOf([['y', g.dropoutMask(key, { site: 1, rate: 0.1, trailing: [64] })]])
    const [drawn, hashed] = [workloadOf(masked, dims, {}), workloadOf(masked, dims, { lean: true })]
    expect([drawn.kernels, drawn.values]).toEqual([0, 4 * 128 * 64])
    expect(hashed.kernels).toBeGreaterThan(0)
    // All that are drawn are held at once, however short their lives in the graph.
    const [one, other] = [1, 2].map((site) => g.dropoutMask(key, { site, rate: 0.1, trailing: [64] }))
    const sums = [one, other].map((mask) => mask && g.sum(mask, { axes: [0, 1] }))
    const both = graphOf(sums.flatMap((sum, i) => (sum ? [[`y${i}`, sum] as const] : [])))
    expect(workloadOf(both, dims, {}).values).toBeGreaterThanOrEqual(2 * 4 * 128 * 64)
    expect(hashed.moved).toBeGreaterThan(3 * drawn.moved)
    expect(hashed.values).toBeGreaterThan(drawn.values)
  })

  it('sees that recomputation saves memory and costs time', () => {
    const [plain, saving] = [toyTraining(6), recompute(toyTraining(6), numberedBlock)].map((whole) =>
      workloadOf(prepare(whole, keptComposites), toyDims, {}),
    )
    expect(saving?.values).toBeLessThan(0.7 * (plain?.values ?? 0))
    expect(saving?.products).toBeGreaterThan(plain?.products ?? 0)
  })
})
