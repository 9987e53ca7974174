import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { gradients } from '../../autodiff/backward.ts'
import type { Tensors } from '../../engine/engine.ts'
import { prepare } from '../../engine/prepare.ts'
import type { Builder } from '../../graph/builder.ts'
import { graphOf } from '../../graph/graph.ts'
import type { Node } from '../../graph/types.ts'
import { newBuilder, verify } from '../../ops/index.ts'
import { f32ToHalves } from '../../tensor/half.ts'
import { f32, type HostTensor, i64, tensor } from '../../tensor/host-tensor.ts'
import { erf } from './erf.ts'
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

/** Compiles a graph with one output `y` and runs it once. */
async function once(build: (g: Builder) => Node, feeds: Tensors = {}, weights: Record<string, HostTensor> = {}) {
  const run = await engine.compile(graphOf([['y', build(newBuilder())]]), { weights: new Map(Object.entries(weights)) })
  return (await run.run(feeds)).y
}

const scale = (g: Builder): Node => g.mul(g.feed('x', { dtype: 'f32', shape: ['n', 2] }), g.weight('w', [2]))
const x = f32([1, 2], [3, 4])
const w = f32([2], [0.5, -1])

describe('what the reference engine refuses', () => {
  it('feeds that do not fit, by name', async () => {
    await expect(once(scale, { y: x }, { w })).rejects.toThrow("no feed input is named 'y'; did you mean 'x'?")
    await expect(once(scale, {}, { w })).rejects.toThrow("input 'x' is not fed")
    await expect(once(scale, { x: i64([1, 2], [1, 2]) }, { w })).rejects.toThrow("input 'x' is i64, expected f32")
    await expect(once(scale, { x: f32([1, 3], [1, 2, 3]) }, { w })).rejects.toThrow('axis 1 should be 2')
  })

  it('weights that are missing, of another shape or of integers', async () => {
    await expect(once(scale, { x }, { W: w })).rejects.toThrow("no weight is named 'w'; did you mean 'W'?")
    await expect(once(scale, { x }, { w: f32([3], [1, 2, 3]) })).rejects.toThrow(
      "weight 'w' has shape [3], the model needs [2]",
    )
    await expect(once(scale, { x }, { w: i64([2], [1, 2]) })).rejects.toThrow("weight 'w' is i64, not a float")
  })

  it('ids outside a table, with the id and its place', async () => {
    const build = (g: Builder): Node =>
      g.scoped('embed', () => g.gather(g.weight('w', [2]), g.feed('ids', { dtype: 'i64', shape: ['n'] })))
    await expect(once(build, { ids: i64([3], [0, 1, 2]) }, { w })).rejects.toThrow(
      'gather in embed: id 2 at place 2 is outside 0…1',
    )
    await expect(once(build, { ids: i64([1], [-1]) }, { w })).rejects.toThrow('id -1 at place 0')
  })

  it('composites, each with a place where it stands', async () => {
    const build = (g: Builder): Node => g.scoped('mlp', () => g.softmax(g.silu(scale(g))))
    await expect(once(build, { x }, { w })).rejects.toThrow(
      'the reference engine has no kernel for silu (in mlp), softmax (in mlp)',
    )
  })

  it('state that is not set, unknown, or mapped to nothing', async () => {
    const g = newBuilder()
    const s = g.state('s', [2])
    const graph = graphOf([['next', g.add(s, 1)]])
    await expect(engine.compile(graph, { weights: new Map(), state: { t: 'next' } })).rejects.toThrow(
      "no state input is named 't'; did you mean 's'?",
    )
    await expect(engine.compile(graph, { weights: new Map(), state: { s: 'nex' } })).rejects.toThrow(
      "no output is named 'nex'; did you mean 'next'?",
    )
    const run = await engine.compile(graph, { weights: new Map(), state: { s: 'next' } })
    await expect(run.run({})).rejects.toThrow("state 's' is not set")
    await expect(run.writeState({ s: f32([3], [1, 2, 3]) })).rejects.toThrow("state 's' has shape [3], expected [2]")
  })

  it('work after it is stopped or disposed', async () => {
    const g = newBuilder()
    const run = await engine.compile(graphOf([['y', g.scalar(1)]]), { weights: new Map() })
    await expect(run.run({}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'stopped' })
    await run.dispose()
    await expect(run.run({})).rejects.toThrow('disposed')
  })
})

describe('reference engine values', () => {
  it('keep state in f64, and bring only what is fetched', async () => {
    const g = newBuilder()
    const s = g.state('s', [1])
    const graph = graphOf([
      ['next', g.add(s, 1e-12)],
      ['twice', g.mul(s, 2)],
    ])
    const run = await engine.compile(graph, { weights: new Map(), state: { s: 'next' } })
    await run.writeState({ s: f32([1], [1]) })
    for (let i = 0; i < 1000; i++) expect(Object.keys(await run.runExact({}))).toEqual(['twice'])
    expect((await run.readStateExact()).s?.data[0]).toBeCloseTo(1 + 1e-9, 12)
    expect((await run.readState(['s'])).s).toEqual(f32([1], [1]))
    expect(Object.keys(await run.run({}, { fetch: ['next'] }))).toEqual(['next'])
  })

  it.each(['f32', 'f16', 'bf16'] as const)('read %s weights from a range of a file', async (dtype) => {
    const folder = await mkdtemp(join(tmpdir(), 'lowrank-'))
    try {
      const values = Float32Array.of(0.5, -1)
      const data = dtype === 'f32' ? values : f32ToHalves(dtype, values)
      const bytes = new Uint8Array(data.buffer)
      const file = join(folder, 'weights')
      await writeFile(file, Buffer.concat([Buffer.alloc(3), bytes, Buffer.alloc(2)]))
      const ref = { file, dtype, shape: [2], offset: 3, bytes: bytes.length }
      const run = await engine.compile(graphOf([['y', scale(newBuilder())]]), { weights: new Map([['w', ref]]) })
      expect((await run.run({ x })).y).toEqual(f32([1, 2], [1.5, -4]))
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('wrap u32 arithmetic and round to half', async () => {
    const feeds = { k: tensor('u32', [2], Uint32Array.of(4294967295, 3)) }
    const keys = (g: Builder): Node => g.feed('k', { dtype: 'u32', shape: ['n'] })
    const both = (f: (g: Builder, k: Node) => Node) => once((g) => f(g, keys(g)), feeds)
    expect((await both((g, k) => g.mul(k, k)))?.data).toEqual(Uint32Array.of(1, 9))
    expect((await both((g, k) => g.add(k, k)))?.data).toEqual(Uint32Array.of(4294967294, 6))
    const half = (g: Builder): Node => g.cast(g.cast(g.scalar(1 + 2 ** -12), { to: 'bf16' }), { to: 'f32' })
    expect((await once(half))?.data).toEqual(Float32Array.of(1))
  })

  it('have an error function to the last digits', () => {
    // Python's math.erf.
    const known = [
      [1e-8, 1.1283791670955126e-8],
      [0.5, 0.5204998778130465],
      [1, 0.8427007929497149],
      [-2.5, -0.999593047982555],
      [4, 0.9999999845827421],
      [7, 1],
    ] as const
    for (const [at, value] of known) expect(Math.abs(erf(at) / value - 1)).toBeLessThan(1e-14)
    expect(erf(Number.NaN)).toBeNaN()
    expect(erf(Number.NEGATIVE_INFINITY)).toBe(-1)
  })
})
