import { describe, expect, it } from 'vitest'
import { toyTraining } from '../../test/setup/toy-model.ts'
import { graphOf } from '../graph/graph.ts'
import { printGraph } from '../graph/print.ts'
import { newBuilder, verify } from '../ops/index.ts'
import { gradients, pullback } from './backward.ts'

describe('reverse mode', () => {
  it('builds what a low-rank layer needs and no more', () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: ['rows', 8] })
    const labels = g.feed('labels', { dtype: 'i64', shape: ['rows'] })
    const [a, b] = [g.state('A', [2, 8]), g.state('B', [4, 2])]
    const logits = g.scoped('head', () =>
      g.add(g.matmul(x, g.weight('head.weight', [4, 8]), { transB: true }), g.lowRank(x, a, b, 0.5)),
    )
    const loss = g.sum(g.crossEntropy(logits, labels), { axes: [0] })
    expect(printGraph(verify(graphOf([['loss', loss]])))).toMatchInlineSnapshot(`
      "graph(
        feed x: f32[rows, 8],
        feed labels: i64[rows],
        state A: f32[2, 8],
        state B: f32[4, 2],
        weight head.weight: f32[4, 8]
      ) {
        # head
        %0 = matmul(x, head.weight, transB=true, alpha=1) : f32[rows, 4]
        %1 = lowRank(x, A, B, 0.5) : f32[rows, 4]
        %2 = add(%0, %1) : f32[rows, 4]
        # top
        %3 = crossEntropy(%2, labels) : f32[rows]
        %4 = sum(%3, axes=[0]) : f32[]
        return loss=%4
      }
      "
    `)
    const [dA = a, dB = b] = gradients(g, loss, [a, b])
    const graph = verify(
      graphOf([
        ['loss', loss],
        ['dA', dA],
        ['dB', dB],
      ]),
    )
    expect(printGraph(graph)).toMatchInlineSnapshot(`
      "graph(
        feed x: f32[rows, 8],
        feed labels: i64[rows],
        state A: f32[2, 8],
        state B: f32[4, 2],
        weight head.weight: f32[4, 8]
      ) {
        # head
        %0 = matmul(x, head.weight, transB=true, alpha=1) : f32[rows, 4]
        %1 = lowRank(x, A, B, 0.5) : f32[rows, 4]
        %2 = add(%0, %1) : f32[rows, 4]
        # top
        %3 = crossEntropy(%2, labels) : f32[rows]
        %4 = sum(%3, axes=[0]) : f32[]
        %5 = expand(1, shape=[]) : f32[]
        # backward
        %6 = reshape(%5, shape=[1]) : f32[1]
        %7 = expand(%6, shape=[rows]) : f32[rows]
        %8 = crossEntropyGrad(%2, labels, %7) : f32[rows, 4]
        # backward head
        %9 = matmul(x, A, transB=true, alpha=1) : f32[rows, 2]
        %10 = matmul(%8, B, alpha=0.5) : f32[rows, 2]
        %11 = matmul(%8, %9, transA=true, alpha=0.5) : f32[4, 2]
        %12 = matmul(%10, x, transA=true, alpha=1) : f32[2, 8]
        return loss=%4, dA=%12, dB=%11
      }
      "
    `)
  })

  it('differentiates nothing below the lowest trainable tensor', () => {
    const places = (lowest: number): string[] => {
      const backward = toyTraining(3, lowest).nodes.filter((n) => n.phase === 'backward')
      return [...new Set(backward.map((n) => n.scope.split('.').slice(0, 2).join('.')))].sort()
    }
    expect(places(0)).toEqual(['', 'head', 'layers.0', 'layers.1', 'layers.2', 'norm'])
    expect(places(2)).toEqual(['', 'head', 'layers.2', 'norm'])
  })

  it('builds no gradient of a frozen weight', () => {
    const graph = verify(toyTraining(2))
    const shapes = new Set(
      [...graph.inputs.values()].filter((n) => n.params.kind === 'weight').map((n) => n.type.shape.join()),
    )
    // A weight's gradient would be a product over all rows that has the weight's shape; adapters have other shapes here.
    const suspects = graph.nodes.filter(
      (n) => n.phase === 'backward' && n.op === 'matmul' && shapes.has(n.type.shape.join()),
    )
    expect(suspects.map((n) => n.scope)).toEqual([])
    expect([...graph.outputs.keys()].filter((name) => name.includes('weight'))).toEqual([])
  })

  it('stops inside the lowest layer: its input gets no cotangent', () => {
    const norms = (lowest: number): number => toyTraining(2, lowest).nodes.filter((n) => n.op === 'rmsNormGrad').length
    // Final norm, and two a layer but for the first norm of the lowest layer with adapters.
    expect(norms(0)).toBe(1 + 2 + 1)
    expect(norms(1)).toBe(1 + 1)
  })

  it('gives zeros where the loss does not depend on a tensor', () => {
    const g = newBuilder()
    const [x, y] = [g.state('x', [2]), g.state('y', [3])]
    const [dx, dy] = gradients(g, g.sum(g.mul(x, x), { axes: [0] }), [x, y])
    expect(dx?.type.shape).toEqual([2])
    expect(dy).toBe(g.expand(g.scalar(0), { shape: [3] }))
  })

  it('counts a weight that a composite uses beside what was made of it once a use', () => {
    const g = newBuilder()
    const [ids, labels] = ['ids', 'labels'].map((name) => g.feed(name, { dtype: 'i64', shape: ['n'] }))
    const weight = g.state('embed', [5, 4]) // an embedding, and the head tied to it
    if (!ids || !labels) throw new Error('no feeds')
    const hidden = g.exp(g.gather(weight, ids))
    const loss = g.sum(g.linearCrossEntropy(hidden, weight, labels), { axes: [0] })
    const [gradient] = gradients(g, loss, [weight])
    const graph = graphOf([['gradient', gradient ?? loss]])
    // One path through the rows, by the fused rule, and one through the head's weight.
    expect(graph.nodes.filter((n) => n.op === 'scatterAdd').length).toBe(1)
    expect(graph.nodes.filter((n) => n.op === 'linearCrossEntropyGrad').length).toBe(1)
  })

  it('adds up every use, and goes through a wanted node to those before it', () => {
    const g = newBuilder()
    const x = g.state('x', [2])
    const middle = g.exp(x)
    const loss = g.sum(g.mul(middle, g.add(middle, x)), { axes: [0] })
    const found = pullback(g, loss, g.scalar(1), [x, middle])
    expect([...found.keys()].filter((n) => n === x || n === middle).length).toBe(2)
  })
})
