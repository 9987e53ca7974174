import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toyTraining, toyValues } from '../../test/setup/toy-model.ts'
import { EXACT } from '../../test/tolerances.ts'
import { gradients } from '../autodiff/backward.ts'
import { prepare } from '../engine/prepare.ts'
import { referenceEngine } from '../engines/reference/index.ts'
import { graphOf } from '../graph/graph.ts'
import { printGraph } from '../graph/print.ts'
import type { Graph, Node } from '../graph/types.ts'
import { compositeNames, isComposite, newBuilder, verify } from '../ops/index.ts'
import { RandomStream } from '../support/random.ts'
import { f32 } from '../tensor/host-tensor.ts'
import { eliminateDeadCode } from './dead-code.ts'
import { expandComposites } from './expand.ts'
import { fold } from './fold.ts'
import { rewrite } from './rewrite.ts'

const engine = referenceEngine()

describe('passes, step by step', () => {
  const g = newBuilder()
  const x = g.feed('x', { dtype: 'f32', shape: ['rows', 8] })
  const labels = g.feed('labels', { dtype: 'i64', shape: ['rows'] })
  const [a, b] = [g.state('A', [2, 8]), g.state('B', [4, 2])]
  const loss = g.sum(
    g.crossEntropy(
      g.scoped('head', () => g.lowRank(x, a, b, 0.5)),
      labels,
    ),
    { axes: [0] },
  )
  const [dA = a, dB = b] = gradients(g, loss, [a, b])
  const graph = verify(graphOf(Object.entries({ loss, dA, dB })))

  it('fold', () => {
    expect(printGraph(verify(fold(graph)))).toMatchInlineSnapshot(`
      "graph(
        feed x: f32[rows, 8],
        feed labels: i64[rows],
        state A: f32[2, 8],
        state B: f32[4, 2]
      ) {
        # head
        %0 = lowRank(x, A, B, 0.5) : f32[rows, 4]
        # top
        %1 = crossEntropy(%0, labels) : f32[rows]
        %2 = sum(%1, axes=[0]) : f32[]
        # backward
        %3 = expand(1, shape=[rows]) : f32[rows]
        %4 = crossEntropyGrad(%0, labels, %3) : f32[rows, 4]
        # backward head
        %5 = matmul(x, A, transB=true, alpha=1) : f32[rows, 2]
        %6 = matmul(%4, B, alpha=0.5) : f32[rows, 2]
        %7 = matmul(%4, %5, transA=true, alpha=0.5) : f32[4, 2]
        %8 = matmul(%6, x, transA=true, alpha=1) : f32[2, 8]
        return loss=%2, dA=%8, dB=%7
      }
      "
    `)
  })

  it('expand, all but one', () => {
    expect(printGraph(verify(expandComposites(fold(graph), new Set(['crossEntropyGrad']))))).toMatchInlineSnapshot(`
      "graph(
        feed x: f32[rows, 8],
        feed labels: i64[rows],
        state A: f32[2, 8],
        state B: f32[4, 2]
      ) {
        # head
        %0 = matmul(x, A, transB=true, alpha=1) : f32[rows, 2]
        %1 = matmul(%0, B, transB=true, alpha=0.5) : f32[rows, 4]
        # top
        %2 = detach(%1) : f32[rows, 4]
        %3 = reduceMax(%2, keepDims=true, axes=[1]) : f32[rows, 1]
        %4 = sub(%1, %3) : f32[rows, 4]
        %5 = exp(%4) : f32[rows, 4]
        %6 = sum(%5, keepDims=true, axes=[1]) : f32[rows, 1]
        %7 = log(%6) : f32[rows, 1]
        %8 = add(%7, %3) : f32[rows, 1]
        %9 = reshape(%8, shape=[rows]) : f32[rows]
        %10 = takeLast(%1, labels) : f32[rows]
        %11 = sub(%9, %10) : f32[rows]
        %12 = sum(%11, axes=[0]) : f32[]
        # backward
        %13 = expand(1, shape=[rows]) : f32[rows]
        %14 = crossEntropyGrad(%1, labels, %13) : f32[rows, 4]
        # backward head
        %15 = matmul(%14, B, alpha=0.5) : f32[rows, 2]
        %16 = matmul(%14, %0, transA=true, alpha=0.5) : f32[4, 2]
        %17 = matmul(%15, x, transA=true, alpha=1) : f32[2, 8]
        return loss=%12, dA=%17, dB=%16
      }
      "
    `)
  })

  it('prepare', () => {
    expect(printGraph(verify(prepare(graph, new Set())))).toMatchInlineSnapshot(`
      "graph(
        feed x: f32[rows, 8],
        feed labels: i64[rows],
        state A: f32[2, 8],
        state B: f32[4, 2]
      ) {
        # head
        %0 = matmul(x, A, transB=true, alpha=1) : f32[rows, 2]
        %1 = matmul(%0, B, transB=true, alpha=0.5) : f32[rows, 4]
        # top
        %2 = reduceMax(%1, keepDims=true, axes=[1]) : f32[rows, 1]
        %3 = sub(%1, %2) : f32[rows, 4]
        %4 = exp(%3) : f32[rows, 4]
        %5 = sum(%4, keepDims=true, axes=[1]) : f32[rows, 1]
        %6 = log(%5) : f32[rows, 1]
        %7 = add(%6, %2) : f32[rows, 1]
        %8 = reshape(%7, shape=[rows]) : f32[rows]
        %9 = takeLast(%1, labels) : f32[rows]
        %10 = sub(%8, %9) : f32[rows]
        %11 = sum(%10, axes=[0]) : f32[]
        # backward
        %12 = div(%4, %5) : f32[rows, 4]
        %13 = oneHot(labels, depth=4) : f32[rows, 4]
        %14 = sub(%12, %13) : f32[rows, 4]
        # backward head
        %15 = matmul(%14, B, alpha=0.5) : f32[rows, 2]
        %16 = matmul(%14, %0, transA=true, alpha=0.5) : f32[4, 2]
        %17 = matmul(%15, x, transA=true, alpha=1) : f32[2, 8]
        return loss=%11, dA=%17, dB=%16
      }
      "
    `)
  })

  it('dead code, down to one output', () => {
    expect(printGraph(verify(eliminateDeadCode(graph, [['dB', dB]])))).toMatchInlineSnapshot(`
      "graph(
        feed x: f32[rows, 8],
        feed labels: i64[rows],
        state A: f32[2, 8],
        state B: f32[4, 2]
      ) {
        # head
        %0 = lowRank(x, A, B, 0.5) : f32[rows, 4]
        # top
        %1 = expand(1, shape=[]) : f32[]
        # backward
        %2 = reshape(%1, shape=[1]) : f32[1]
        %3 = expand(%2, shape=[rows]) : f32[rows]
        %4 = crossEntropyGrad(%0, labels, %3) : f32[rows, 4]
        # backward head
        %5 = matmul(x, A, transB=true, alpha=1) : f32[rows, 2]
        %6 = matmul(%4, %5, transA=true, alpha=0.5) : f32[4, 2]
        return dB=%6
      }
      "
    `)
  })
})

describe('expand', () => {
  it('leaves the composites an engine has, and no other', () => {
    const graph = toyTraining(1)
    const kept = expandComposites(graph, new Set(['rmsNorm', 'softmax']))
    expect(
      new Set(
        verify(kept)
          .nodes.map((n) => n.op)
          .filter(isComposite),
      ),
    ).toEqual(new Set(['rmsNorm', 'softmax']))
    expect(verify(expandComposites(graph, new Set(compositeNames))).nodes.length).toBe(graph.nodes.length)
  })

  it('keeps scope and phase', () => {
    const nodes = expandComposites(toyTraining(1), new Set()).nodes
    const places = new Set(nodes.filter((n) => n.op === 'sigmoid').map((n) => `${n.phase} ${n.scope}`))
    expect([...places]).toEqual(['forward layers.0'])
  })
})

type Step = readonly [kind: number, first: number, second: number]

/** A random graph over two feeds `[n, 4]`: every step applies an op to values made before. */
function randomGraph(steps: readonly Step[]): Graph {
  const g = newBuilder()
  const shape = ['n', 4] as const
  const values = [g.feed('x', { dtype: 'f32', shape }), g.feed('y', { dtype: 'f32', shape })]
  const value = (i: number): Node => values[i % values.length] ?? g.scalar(0)
  const choices: ((a: Node, b: Node) => Node)[] = [
    (a, b) => g.add(a, b),
    (a, b) => g.sub(a, b),
    (a, b) => g.mul(a, g.sigmoid(b)),
    (a) => g.neg(a),
    (a) => g.mul(a, 1),
    (a) => g.add(g.mul(a, g.add(g.scalar(1), 1)), 0),
    (a) => g.softmax(a),
    (a) => g.silu(g.detach(a)),
    (a) => g.rmsNorm(a, g.constant({ dtype: 'f32', shape: [4], values: [1, 2, -1, 0.5] }), { eps: 1e-3 }),
    (a) => g.transpose(g.transpose(a, { perm: [1, 0] }), { perm: [1, 0] }),
    (a) => g.reshape(g.reshape(a, { shape: ['n', 2, 2] }), { shape }),
    (a, b) => g.mul(a, g.expand(g.sum(b, { axes: [1], keepDims: true }), { shape })),
    (a, b) => g.select(g.less(a, b), a, g.expand(g.scalar(0), { shape })),
    (a) =>
      g.concat([g.slice(a, { axis: 1, start: 2, size: 2 }), g.slice(a, { axis: 1, start: 0, size: 2 })], { axis: 1 }),
    (a, b) => g.barrier(a, b),
  ]
  for (const [kind, first, second] of steps) {
    const choice = choices[kind % choices.length]
    if (choice) values.push(choice(value(first), value(second)))
  }
  return graphOf([
    ['last', values.at(-1) ?? value(0)],
    ['middle', value(values.length >> 1)],
  ])
}

async function outputs(graph: Graph): Promise<number[][]> {
  const random = new RandomStream(5, 'passes')
  const draw = () =>
    f32(
      [3, 4],
      Float32Array.from({ length: 12 }, () => random.normal()),
    )
  const feeds: Record<string, ReturnType<typeof draw>> = { x: draw(), y: draw() }
  const known = Object.fromEntries(Object.entries(feeds).filter(([name]) => graph.inputs.has(name)))
  const run = await engine.compile(expandComposites(graph, new Set()), { weights: new Map() })
  return Object.values(await run.runExact(known)).map((t) => [...t.data])
}

describe('passes over random graphs', () => {
  const graphs = fc
    .array(fc.tuple(fc.nat(14), fc.nat(40), fc.nat(40)), { minLength: 1, maxLength: 12 })
    .map(randomGraph)

  it('change no output, and leave a graph that verifies', async () => {
    await fc.assert(
      fc.asyncProperty(graphs, async (graph) => {
        const wanted = await outputs(verify(graph))
        const passes = [fold, (x: Graph) => rewrite(x, () => undefined), (x: Graph) => prepare(x, new Set())]
        for (const pass of passes) {
          const got = (await outputs(verify(pass(graph)))).flat()
          wanted.flat().forEach((v, i) => {
            expect(Math.abs((got[i] ?? Number.NaN) - v)).toBeLessThanOrEqual(EXACT * Math.max(1, Math.abs(v)))
          })
        }
      }),
      { numRuns: 60 },
    )
  })

  it('are done once: a second time changes nothing', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const once = prepare(graph, new Set())
        expect(printGraph(rewrite(once, () => undefined))).toBe(printGraph(once))
      }),
      { numRuns: 60 },
    )
  })
})

describe('prepare', () => {
  it('keeps the numbers of a whole training graph', async () => {
    const graph = toyTraining(2)
    const { feeds, weights, state } = toyValues(graph)
    const run = async (g: Graph): Promise<number[]> => {
      const compiled = await engine.compile(verify(g), { weights })
      await compiled.writeState(state)
      return Object.values(await compiled.runExact(feeds)).flatMap((t) => [...t.data])
    }
    const wanted = await run(expandComposites(graph, new Set()))
    const got = await run(prepare(graph, new Set()))
    wanted.forEach((v, i) => {
      expect(Math.abs((got[i] ?? Number.NaN) - v)).toBeLessThan(EXACT)
    })
  })
})
