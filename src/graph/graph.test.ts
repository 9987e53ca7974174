import { describe, expect, it } from 'vitest'
import { newBuilder, verify } from '../ops/index.ts'
import { graphOf } from './graph.ts'
import { hashGraph, printGraph } from './print.ts'
import type { Graph, Node } from './types.ts'

/** Two inputs of one feed, a scope and a constant. */
function small(): Graph {
  const g = newBuilder()
  const x = g.feed('x', { dtype: 'f32', shape: ['batch', 4] })
  const w = g.weight('layers.0.weight', [3, 4])
  const y = g.scoped('layers', () => g.scoped('0', () => g.matmul(x, w, { transB: true })))
  return graphOf([['y', g.mul(y, 0.5)]])
}

describe('builder', () => {
  it('answers the node that stands already for an equal application', () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: [2] })
    expect(g.add(x, 1)).toBe(g.add(x, 1))
    expect(g.add(x, 1)).not.toBe(g.add(1, x))
    expect(g.sum(x, { axes: [0] })).toBe(g.sum(x, { axes: [0], keepDims: false }))
    expect(g.scalar(0)).not.toBe(g.scalar(-0))
    expect(g.scalar(Number.POSITIVE_INFINITY)).not.toBe(g.scalar(Number.NEGATIVE_INFINITY))
  })

  it('marks nodes with scope and phase, also when a body throws', () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: [2] })
    const inner = g.scoped('a', () => g.scoped('b', () => g.exp(x)))
    expect([inner.scope, inner.phase]).toEqual(['a.b', 'forward'])
    const back = g.during('backward', 'c', () => g.log(x))
    expect([back.scope, back.phase]).toEqual(['c', 'backward'])
    expect(() => g.scoped('a', () => g.add(x, g.feed('y', { dtype: 'f32', shape: [3] })))).toThrow('broadcast')
    expect(g.scope).toBe('')
  })

  it('makes nodes that nobody can change', () => {
    const node = newBuilder().scalar(1)
    expect(() => Object.assign(node, { scope: 'elsewhere' })).toThrow(TypeError)
  })

  it.each([
    ['matmul', (g: ReturnType<typeof newBuilder>, x: Node) => g.matmul(x, x)],
    ['reshape', (g: ReturnType<typeof newBuilder>, x: Node) => g.reshape(x, { shape: ['batch', 5] })],
    ['transpose', (g: ReturnType<typeof newBuilder>, x: Node) => g.transpose(x, { perm: [0, 0] })],
    ['slice', (g: ReturnType<typeof newBuilder>, x: Node) => g.slice(x, { axis: 1, start: 3, size: 2 })],
    ['gather', (g: ReturnType<typeof newBuilder>, x: Node) => g.gather(x, x)],
    ['select', (g: ReturnType<typeof newBuilder>, x: Node) => g.select(x, x, x)],
    ['expand', (g: ReturnType<typeof newBuilder>, x: Node) => g.expand(x, { shape: ['batch', 8] })],
  ])('refuses inputs that do not fit %s, with their types', (op, build) => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: ['batch', 4] })
    expect(() => build(g, x)).toThrow(op)
    expect(() => build(g, x)).toThrow('f32[batch, 4]')
  })
})

describe('graph', () => {
  it('holds what its outputs need, in building order', () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: [2] })
    const early = g.exp(x)
    g.feed('unused', { dtype: 'f32', shape: [2] })
    const late = g.log(x)
    const graph = graphOf([
      ['late', late],
      ['early', early],
    ])
    expect(graph.nodes).toEqual([x, early, late])
    expect([...graph.inputs.keys()]).toEqual(['x'])
  })

  it('refuses two inputs of one name', () => {
    const g = newBuilder()
    const both = g.add(g.feed('x', { dtype: 'f32', shape: [2] }), g.state('x', [2]))
    expect(() => graphOf([['y', both]])).toThrow("two inputs are named 'x'")
  })

  it('is as deep as it likes', () => {
    const g = newBuilder()
    let x: Node = g.feed('x', { dtype: 'f32', shape: [] })
    for (let i = 0; i < 20_000; i++) x = g.add(x, i)
    expect(graphOf([['x', x]]).nodes.length).toBe(40_001)
  })

  it('prints short and stable', () => {
    expect(printGraph(small())).toMatchInlineSnapshot(`
      "graph(
        feed x: f32[batch, 4],
        weight layers.0.weight: f32[3, 4]
      ) {
        # layers.0
        %0 = matmul(x, layers.0.weight, transB=true, alpha=1) : f32[batch, 3]
        # top
        %1 = mul(%0, 0.5) : f32[batch, 3]
        return y=%1
      }
      "
    `)
  })

  it('hashes by what it prints', () => {
    expect(hashGraph(small())).toBe(hashGraph(small()))
    const g = newBuilder()
    const other = graphOf([['y', g.mul(g.feed('x', { dtype: 'f32', shape: ['batch', 4] }), 0.5)]])
    expect(hashGraph(other)).not.toBe(hashGraph(small()))
    expect(hashGraph(small())).toMatch(/^[0-9a-f]{14}$/)
  })
})

describe('verifier', () => {
  const change = (graph: Graph, at: number, part: Partial<Node>): Graph => {
    const changed = { ...graph.nodes[at], ...part } as Node
    return { ...graph, nodes: graph.nodes.with(at, changed) }
  }

  it('passes what the builder makes', () => {
    expect(verify(small())).toBeDefined()
  })

  it('finds a wrong type, a wrong order, a missing output, a node twice', () => {
    const graph = small()
    const product = graph.nodes.findIndex((n) => n.op === 'matmul')
    expect(() => verify(change(graph, product, { type: { dtype: 'f32', shape: ['batch', 4] } }))).toThrow(
      'its rule says',
    )
    expect(() => verify({ ...graph, nodes: [...graph.nodes].reverse() })).toThrow('comes before its input')
    expect(() => verify({ ...graph, nodes: graph.nodes.slice(0, -1) })).toThrow("output 'y' is not in the graph")
    expect(() => verify({ ...graph, nodes: graph.nodes.flatMap((n) => [n, n]) })).toThrow('stands twice')
    expect(() => verify({ ...graph, inputs: new Map() })).toThrow('is not listed')
  })
})
