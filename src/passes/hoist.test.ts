/** @file Hoisting keeps every result and leaves only what depends on feeds. */
import { describe, expect, it } from 'vitest'
import { referenceEngine } from '../engines/reference/index.ts'
import { graphOf } from '../graph/graph.ts'
import { newBuilder, verify } from '../ops/index.ts'
import { f32 } from '../tensor/host-tensor.ts'
import { hoist } from './hoist.ts'

describe('hoist', () => {
  it('computes once what weights alone decide', async () => {
    const g = newBuilder()
    const [w, x] = [g.weight('w', [2, 3]), g.feed('x', { dtype: 'f32', shape: ['n', 3] })]
    const norms = g.sqrt(g.sum(g.mul(w, w), { axes: [1] }))
    const y = g.mul(g.matmul(x, w, { transB: true }), g.div(1, norms))
    const graph = graphOf([
      ['y', y],
      ['less', g.sub(y, g.mul(norms, 2))],
    ])
    const { graph: rest, once } = hoist(graph)
    expect(once && [...once.outputs.keys()]).toEqual(['hoisted.0', 'hoisted.1'])
    expect(
      verify(rest)
        .nodes.map((node) => node.op)
        .sort(),
    ).toEqual(['input', 'input', 'input', 'input', 'matmul', 'mul', 'sub'])
    const engine = referenceEngine()
    const weights = new Map([['w', f32([2, 3], [0, 2, 0, 0, 0, 4])]])
    const values = once && (await (await engine.compile(verify(once), { weights })).run({}))
    const feeds = { x: f32([1, 3], [7, 3, 5]) }
    const whole = await (await engine.compile(graph, { weights })).run(feeds)
    const all = new Map([...weights, ...Object.entries(values ?? {})])
    const split = await (await engine.compile(rest, { weights: all })).run(feeds)
    expect(split).toEqual(whole)
    expect(whole.y).toEqual(f32([1, 2], [3, 5]))
  })

  it('leaves what is as wide as a batch', () => {
    const g = newBuilder()
    const row = g.expand(g.weight('w', [3]), { shape: ['n', 3] })
    const graph = graphOf([['y', g.add(row, g.feed('x', { dtype: 'f32', shape: ['n', 3] }))]])
    expect(hoist(graph)).toEqual({ graph, once: undefined })
  })

  it('leaves weights, constants and what depends on feeds', () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: [3] })
    const graph = graphOf([['y', g.add(g.mul(g.weight('w', [3]), x), g.mul(g.scalar(2), g.scalar(3)))]])
    expect(hoist(graph)).toEqual({ graph, once: undefined })
  })
})
