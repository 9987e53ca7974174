/** @file Joining low-rank updates of one input keeps every value and gradient, and leaves one product with the input. */
import { describe, expect, it } from 'vitest'
import { EXACT } from '../../test/tolerances.ts'
import { gradients } from '../autodiff/backward.ts'
import { prepare } from '../engine/prepare.ts'
import { referenceEngine } from '../engines/reference/index.ts'
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import { newBuilder, verify } from '../ops/index.ts'
import { RandomStream } from '../support/random.ts'
import { f32, sizeOf } from '../tensor/host-tensor.ts'
import { shareLowRank } from './share-low-rank.ts'

const RANKS = [2, 1, 3]

/** Three updates of one input, one of another, and one too wide to be joined; A's lie in one vector as in training. */
function updates(g: Builder): { loss: Node; parameters: Node } {
  const [x, other] = [
    g.feed('x', { dtype: 'f32', shape: ['n', 16] }),
    g.feed('other', { dtype: 'f32', shape: ['n', 16] }),
  ]
  const parameters = g.state('flat', [16 * 16])
  let start = 0
  const factor = (rank: number): Node => {
    const flat = g.slice(parameters, { axis: 0, start, size: rank * 16 })
    start += rank * 16
    return g.reshape(flat, { shape: [rank, 16] })
  }
  const update = (input: Node, rank: number, at: number): Node =>
    g.sum(
      g.sigmoid(
        g.lowRank(
          input,
          factor(rank),
          g.weight(`b${at}`, [4, rank]),
          at === 1 ? g.feed('scale', { dtype: 'f32', shape: [] }) : 0.5,
        ),
      ),
      {
        axes: [0, 1],
      },
    )
  const sums = [...RANKS.map((rank, i) => update(x, rank, i)), update(other, 2, 3), update(x, 7, 4)]
  return { loss: sums.reduce((a, b) => g.add(a, b)), parameters }
}

function differentiated(g: Builder, loss: Node, parameters: Node): Graph {
  const [gradient = loss] = gradients(g, loss, [parameters])
  return prepare(verify(graphOf(Object.entries({ loss, gradient }))), new Set())
}

async function values(graph: Graph): Promise<number[]> {
  const random = new RandomStream(3, 'share')
  const draw = (shape: readonly number[]) =>
    f32(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
    )
  const weights = new Map([2, 1, 3, 2, 7].map((rank, i) => [`b${i}`, draw([4, rank])]))
  const compiled = await referenceEngine().compile(graph, { weights })
  await compiled.writeState({ flat: draw([256]) })
  const out = await compiled.runExact({ x: draw([5, 16]), other: draw([5, 16]), scale: f32([], [0.25]) })
  return Object.values(out).flatMap((t) => [...t.data])
}

describe('shareLowRank', () => {
  const plain = newBuilder()
  const { loss, parameters } = updates(plain)
  const shared = newBuilder()
  const images = shareLowRank(shared, graphOf(Object.entries({ loss, parameters })))
  const [sharedLoss, sharedParameters] = [images.get(loss) ?? loss, images.get(parameters) ?? parameters]
  const before = differentiated(plain, loss, parameters)
  const after = differentiated(shared, sharedLoss, sharedParameters)

  it('keeps values and gradients', async () => {
    const [wanted, got] = [await values(before), await values(after)]
    expect(got).toHaveLength(wanted.length)
    for (const [i, value] of wanted.entries()) expect(Math.abs((got[i] ?? Number.NaN) - value)).toBeLessThan(EXACT)
  })

  it('multiplies the shared input once in each direction, wide factors apart', () => {
    const products = ({ nodes }: Graph, name: string): number =>
      nodes.filter(
        ({ op, inputs }) => op === 'matmul' && inputs.some((n) => n.op === 'input' && n.params.name === name),
      ).length
    expect([products(before, 'x'), products(after, 'x')]).toEqual([8, 4])
    expect([products(before, 'other'), products(after, 'other')]).toEqual([2, 2])
    expect(
      after.nodes.filter(({ op, phase, type }) => op === 'pad' && phase === 'backward' && type.shape[0] === 'n'),
    ).toEqual([])
  })
})
