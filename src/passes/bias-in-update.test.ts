/** A bias that rides on an update keeps every value but for rounding, and saves the pass that added it. */
import { describe, expect, it } from 'vitest'
import { EXACT } from '../../test/tolerances.ts'
import { prepare } from '../engine/prepare.ts'
import { referenceEngine } from '../engines/reference/index.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import { newBuilder, verify } from '../ops/index.ts'
import { RandomStream } from '../support/random.ts'
import { f32, sizeOf } from '../tensor/host-tensor.ts'
import { biasInUpdate } from './bias-in-update.ts'

const g = newBuilder()
const shape = ['rows', 3, 16] as const
const feed = (name: string, of: readonly (string | number)[]): Node => g.feed(name, { dtype: 'f32', shape: of })
const [base, h, b, bias] = [feed('base', shape), feed('h', ['rows', 3, 2]), feed('b', [16, 2]), feed('bias', [16])]
const update = (alpha: number, factor = b): Node => g.matmul(h, factor, { transB: true, alpha })

async function values(graph: Graph): Promise<number[]> {
  const random = new RandomStream(5, 'bias')
  const drawn = [...graph.inputs].map(([name, { type }]) => {
    const own = type.shape.map((extent) => (typeof extent === 'number' ? extent : 2))
    return [
      name,
      f32(
        own,
        Float32Array.from({ length: sizeOf(own) }, () => random.normal()),
      ),
    ] as const
  })
  const run = await referenceEngine().compile(prepare(graph, new Set()), { weights: new Map() })
  return Object.values(await run.run(Object.fromEntries(drawn))).flatMap(({ data }) => Array.from(data, Number))
}

const adds = (graph: Graph): number => graph.nodes.filter(({ op }) => op === 'add').length

describe('biasInUpdate', () => {
  it.each([
    ['after', g.add(g.add(base, bias), update(0.5))],
    ['before', g.add(update(1), g.add(base, bias))],
    ['of a negative scale', g.add(g.add(base, bias), update(-3))],
  ])('joins an update that stands %s', async (_, y) => {
    const plain = graphOf([['y', y]])
    const found = verify(biasInUpdate(plain))
    expect(adds(found)).toBe(adds(plain) - 1)
    const [a, z] = [await values(plain), await values(found)]
    expect(Math.max(...a.map((x, i) => Math.abs(x - (z[i] ?? Number.NaN))))).toBeLessThan(EXACT)
  })

  const biased = g.add(base, bias)
  it.each([
    ['a scale of 0', [g.add(biased, update(0))]],
    ['a scale without an inverse in f32', [g.add(biased, update(1e-39))]],
    ['a sum that something else uses', [g.add(biased, update(1)), g.mul(biased, 2)]],
    ['an update that is an output', [g.add(biased, update(1)), update(1)]],
    [
      'a rank near the width',
      [g.add(biased, g.matmul(feed('thick', ['rows', 3, 4]), feed('c', [16, 4]), { transB: true }))],
    ],
    ['two whole tensors', [g.add(g.add(base, base), update(1))]],
  ])('leaves %s', (_, nodes) => {
    const plain = graphOf(nodes.map((node, i) => [`y${i}`, node]))
    expect(adds(biasInUpdate(plain))).toBe(adds(plain))
  })
})
