import { describe, expect, it } from 'vitest'
import { toyDims, toyTraining, toyValues } from '../../test/setup/toy-model.ts'
import { prepare } from '../engine/prepare.ts'
import { referenceEngine } from '../engines/reference/index.ts'
import type { Graph } from '../graph/types.ts'
import { verify } from '../ops/index.ts'
import { liveBytes } from './live-bytes.ts'
import { numberedBlock, recompute } from './recompute.ts'

const engine = referenceEngine()

async function run(graph: Graph): Promise<Record<string, number[]>> {
  const { feeds, weights, state } = toyValues(graph)
  const compiled = await engine.compile(verify(prepare(graph, engine.composites)), { weights })
  await compiled.writeState(state)
  return Object.fromEntries(Object.entries(await compiled.runExact(feeds)).map(([name, t]) => [name, [...t.data]]))
}

describe('recompute', () => {
  const plain = toyTraining(6)
  const saved = verify(recompute(plain, numberedBlock))

  it('leaves every gradient as it is, bit for bit', async () => {
    expect(await run(saved)).toEqual(await run(plain))
  })

  it('lowers what is alive at once, before and after expansion', () => {
    expect(liveBytes(saved, toyDims)).toBeLessThan(0.5 * liveBytes(plain, toyDims))
    const kept = engine.composites
    expect(liveBytes(prepare(saved, kept), toyDims)).toBeLessThan(0.5 * liveBytes(prepare(plain, kept), toyDims))
  })

  it('keeps one block alive, however many there are', () => {
    const peak = (blocks: number): number => liveBytes(recompute(toyTraining(blocks), numberedBlock), toyDims)
    const residual = 2 * 5 * 8 * 4
    const gradients = peak(7) - peak(6) - residual
    // What a block adds is its residual value and its own gradients (outputs of the graph).
    const own = [...plain.outputs].filter(([name]) => name.startsWith('grad layers.0'))
    const bytes = own.reduce((sum, [, node]) => sum + 4 * node.type.shape.reduce<number>((a, b) => a * Number(b), 1), 0)
    expect(gradients).toBeLessThanOrEqual(bytes)
  })

  it('computes no value twice that crosses blocks, and each block once more', () => {
    const count = (graph: Graph, op: string): number => graph.nodes.filter((n) => n.op === op).length
    expect(count(plain, 'silu')).toBe(6)
    expect(count(saved, 'silu')).toBe(12)
    expect(count(saved, 'select')).toBe(count(plain, 'select'))
    expect(count(saved, 'dropoutMask')).toBe(2 * count(plain, 'dropoutMask'))
  })

  it('needs one barrier on the value that enters a block, and one on the dropout keys', () => {
    const held = saved.nodes.filter((n) => n.op === 'barrier').map((n) => `${n.scope} ${n.inputs[0]?.type.dtype}`)
    expect(held.sort()).toEqual([0, 1, 2, 3, 4, 5].flatMap((i) => [`layers.${i} f32`, `layers.${i} u32`]))
  })

  it('waits for the later block', () => {
    const { nodes } = saved
    const lastBackward = (block: string): number =>
      nodes.findLastIndex(
        (n) => n.phase === 'backward' && n.scope.startsWith(`${block}.norm1`) && n.op === 'rmsNormGrad',
      )
    const firstClone = nodes.findIndex(
      (n) => n.phase === 'backward' && n.op === 'rmsNorm' && n.scope === 'layers.2.norm1',
    )
    expect(firstClone).toBeGreaterThan(lastBackward('layers.3'))
  })

  it('leaves a graph without blocks alone', () => {
    expect(recompute(plain, () => undefined).nodes.length).toBe(plain.nodes.length)
  })

  it('finds a block by the first number in a scope', () => {
    expect(numberedBlock('model.layers.3.self_attn.q_proj')).toBe('model.layers.3')
    expect(numberedBlock('transformer.h.11')).toBe('transformer.h.11')
    expect(numberedBlock('model.norm')).toBeUndefined()
  })
})

describe('recompute of what is cheap', () => {
  const plain = toyTraining(6)
  const saved = verify(recompute(plain, numberedBlock, 'cheap'))
  const again = (op: string): number => {
    const count = (graph: Graph): number => graph.nodes.filter((n) => n.op === op).length
    return count(saved) - count(plain)
  }

  it('leaves every gradient as it is, bit for bit', async () => {
    expect(await run(saved)).toEqual(await run(plain))
  })

  it('lowers what is alive at once, though less than recomputing everything', () => {
    const [all, some, none] = [recompute(plain, numberedBlock), saved, plain].map((g) => liveBytes(g, toyDims))
    expect(some).toBeLessThan(0.85 * (none ?? 0))
    expect(all).toBeLessThan(some ?? 0)
  })

  it('repeats norms and activations of values that are kept, and no product or mask', () => {
    expect(again('silu')).toBe(6)
    expect(again('rmsNorm')).toBeGreaterThan(0)
    expect([again('matmul'), again('lowRank'), again('softmax'), again('dropoutMask')]).toEqual([0, 0, 0, 0])
  })
})
