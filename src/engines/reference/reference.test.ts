import { describe, expect, it } from 'vitest'
import { gradients } from '../../autodiff/backward.ts'
import { prepare } from '../../engine/prepare.ts'
import { graphOf } from '../../graph/graph.ts'
import { newBuilder, verify } from '../../ops/index.ts'
import { f32, i64 } from '../../tensor/host-tensor.ts'
import { referenceEngine } from './index.ts'

const engine = referenceEngine()

describe('reference engine', () => {
  it('runs a matrix product with symbolic rows, changing between runs', async () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: ['rows', 2] })
    const w = g.weight('w', [3, 2])
    const graph = graphOf([['y', g.matmul(x, w, { transB: true })]])
    const run = await engine.compile(graph, { weights: new Map([['w', f32([3, 2], [1, 2, 3, 4, 5, 6])]]) })
    expect((await run.run({ x: f32([1, 2], [1, 1]) })).y).toEqual(f32([1, 3], [3, 7, 11]))
    expect((await run.run({ x: f32([2, 2], [1, 1, 1, 0]) })).y).toEqual(f32([2, 3], [3, 7, 11, 1, 3, 5]))
  })

  it('differentiates a low-rank layer under cross-entropy', async () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: ['rows', 4] })
    const labels = g.feed('labels', { dtype: 'i64', shape: ['rows'] })
    const a = g.state('a', [2, 4])
    const b = g.state('b', [3, 2])
    const loss = g.sum(g.crossEntropy(g.lowRank(x, a, b, 0.5), labels), { axes: [0] })
    const [da, db] = gradients(g, loss, [a, b])
    if (!da || !db) throw new Error('no gradient')
    const graph = verify(
      prepare(
        verify(
          graphOf([
            ['loss', loss],
            ['da', da],
            ['db', db],
          ]),
        ),
        engine.composites,
      ),
    )
    const run = await engine.compile(graph, { weights: new Map() })
    const zeros = f32([3, 2], new Float32Array(6))
    await run.writeState({ a: f32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]), b: zeros })
    const out = await run.run({ x: f32([1, 4], [1, 0, 0, 0]), labels: i64([1], [2]) })
    expect(out.loss?.data[0]).toBeCloseTo(Math.log(3), 6)
    expect([...(out.db?.data ?? [])].map((v) => Number(v).toFixed(4))).toEqual(
      [1 / 6, 5 / 6, 1 / 6, 5 / 6, -1 / 3, -5 / 3].map((v) => v.toFixed(4)),
    )
  })
})
