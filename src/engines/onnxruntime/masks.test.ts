/** Masks drawn in WebAssembly against the reference engine's own kernel: rows of every width, also wider than a chunk. */
import { describe, expect, it } from 'vitest'
import { graphOf } from '../../graph/graph.ts'
import { newBuilder } from '../../ops/index.ts'
import { RandomStream } from '../../support/random.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import { referenceEngine } from '../reference/index.ts'
import { drawMask, Masks, maskShape } from './masks.ts'

const random = new RandomStream(3, 'keys')

async function expected(keys: Uint32Array<ArrayBuffer>, shape: number[], draw: Parameters<typeof drawMask>[1]) {
  const engine = referenceEngine()
  const g = newBuilder()
  const mask = g.dropoutMask(g.feed('keys', { dtype: 'u32', shape }), draw)
  const run = await engine.compile(graphOf([['y', mask]]), { weights: new Map() })
  return (await run.run({ keys: { dtype: 'u32', shape, data: keys } })).y
}

describe('drawMask', () => {
  it.each([
    { shape: [2, 3], before: [], trailing: [1] },
    { shape: [2, 3], before: [], trailing: [7] },
    { shape: [2, 3], before: [2, 2], trailing: [5, 3] },
    { shape: [3], before: [], trailing: [65536] },
    { shape: [2], before: [], trailing: [65536 + 3] },
    { shape: [1], before: [], trailing: [3 * 65536] },
    { shape: [40000], before: [], trailing: [2] },
    { shape: [2, 3], before: [4], trailing: [] },
    { shape: [2, 3], before: [], trailing: [0] },
  ])('draws $before before and $trailing after $shape', async ({ shape, before, trailing }) => {
    for (const rate of [0.1, 0.5, 0.97, 1 - 2 ** -33]) {
      const draw = { name: 'm', keys: 'k', site: 0x9abcdef0, rate, before, trailing }
      const keys = Uint32Array.from({ length: sizeOf(shape) }, () => random.u32())
      const own = maskShape(draw, shape)
      const out = new Float32Array(sizeOf(own)).fill(Number.NaN)
      drawMask(out, draw, keys, shape.at(-1) ?? 1)
      const y = await expected(keys, shape, draw)
      expect(y?.shape).toEqual(own)
      expect(Buffer.compare(Buffer.from(out.buffer), Buffer.from(y?.data.buffer as ArrayBuffer))).toBe(0)
    }
  })

  it('keeps and drops in the rate’s proportion, and what it keeps makes up for the rest', () => {
    const draw = { name: 'm', keys: 'k', site: 1, rate: 0.1, before: [], trailing: [1000] }
    const out = new Float32Array(1_000_000)
    drawMask(
      out,
      draw,
      Uint32Array.from({ length: 1000 }, () => random.u32()),
      1000,
    )
    const dropped = out.filter((x) => x === 0).length / out.length
    // Five standard deviations of a million draws.
    expect(Math.abs(dropped - 0.1)).toBeLessThan(5 * Math.sqrt(0.09 / 1e6))
    expect(new Set(out)).toEqual(new Set([0, Math.fround(1 / 0.9)]))
  })

  it('serves a session from the same memory, whatever the size', () => {
    const masks = new Masks()
    const draw = { name: 'm', keys: 'k', site: 1, rate: 0.5, before: [], trailing: [8] }
    const of = (rows: number) =>
      masks.draw([draw], () => ({ data: Uint32Array.from({ length: rows }, (_, i) => i), shape: [rows] }))[0]
    const large = of(6)
    const [buffer, first] = [large?.data.buffer, large?.data.slice(0, 16)]
    const small = of(2)
    expect(small?.data.buffer).toBe(buffer)
    expect([large?.shape, small?.shape]).toEqual([
      [6, 8],
      [2, 8],
    ])
    expect(small?.data).toEqual(first)
    const other = masks.draw([{ ...draw, site: 2 }], () => ({ data: Uint32Array.of(0, 1), shape: [2] }))[0]
    expect(other?.data).not.toEqual(first)
    expect(masks.bytes).toBe(4 * 48)
  })
})
