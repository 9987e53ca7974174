import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { WeightRef } from '../../engine/engine.ts'
import { prepare } from '../../engine/prepare.ts'
import { graphOf } from '../../graph/graph.ts'
import { newBuilder } from '../../ops/index.ts'
import type { DType } from '../../tensor/dtype.ts'
import { f32ToHalves } from '../../tensor/half.ts'
import { f32, type HostTensor, i64 } from '../../tensor/host-tensor.ts'
import { onnxruntimeEngine } from './index.ts'

const engine = onnxruntimeEngine()
const folder = mkdtempSync(join(tmpdir(), 'lowrank ort '))

afterAll(async () => {
  await engine.dispose()
  rmSync(folder, { recursive: true })
})

const VALUES = Float32Array.from({ length: 6 }, (_, i) => i - 2.5)

/** A weight `[3, 2]` behind three bytes of something else, as no alignment would have it. */
function storedWeight(dtype: 'f32' | 'f16' | 'bf16'): WeightRef {
  const values = dtype === 'f32' ? VALUES : f32ToHalves(dtype, VALUES)
  const file = join(folder, `${dtype}.safetensors`)
  writeFileSync(file, Buffer.concat([Buffer.from('abc'), new Uint8Array(values.buffer)]))
  return { file, dtype, shape: [3, 2], offset: 3, bytes: values.byteLength }
}

function product() {
  const g = newBuilder()
  const x = g.feed('x', { dtype: 'f32', shape: ['rows', 2] })
  const w = g.weight('w', [3, 2])
  const y = g.matmul(x, w, { transB: true })
  return prepare(
    graphOf([
      ['y', y],
      ['back', g.matmul(y, w)],
    ]),
    engine.composites,
  )
}

const ROWS = f32([2, 2], [1, 0, 1, 1])
/** x·Wᵀ of VALUES. */
const PRODUCT = [-2.5, -0.5, 1.5, -4, 0, 4]

describe('onnxruntime engine', () => {
  it.each(['f32', 'f16', 'bf16'] as const)('maps a weight of %s from its file, at any offset', async (dtype) => {
    const run = await engine.compile(product(), { weights: new Map([['w', storedWeight(dtype)]]), threads: 1 })
    expect((await run.run({ x: ROWS })).y).toEqual(f32([2, 3], PRODUCT))
    await run.dispose()
  })

  it('maps a weight through a folder that is a link', async () => {
    const link = join(folder, 'link')
    const { file, ...rest } = storedWeight('f32')
    symlinkSync(folder, link)
    const ref = { ...rest, file: file.replace(folder, link) }
    const run = await engine.compile(product(), { weights: new Map([['w', ref]]), threads: 1 })
    expect((await run.run({ x: ROWS })).y?.data).toEqual(Float32Array.from(PRODUCT))
    await run.dispose()
  })

  it('takes weights from memory, small and large', async () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: [1, 2] })
    const large = g.weight('large', [20000, 2])
    const graph = prepare(
      graphOf([['y', g.sum(g.matmul(x, large, { transB: true }), { axes: [1] })]]),
      engine.composites,
    )
    const values = f32([20000, 2], new Float32Array(40000).fill(0.5))
    const run = await engine.compile(graph, { weights: new Map([['large', values]]), threads: 1 })
    expect((await run.run({ x: f32([1, 2], [1, 2]) })).y?.data[0]).toBeCloseTo(30000, 0)
    await run.dispose()
  })

  it('says in one sentence that a weight file is not there', async () => {
    const missing = { ...storedWeight('f32'), file: join(folder, 'gone.safetensors') }
    const compiling = engine.compile(product(), { weights: new Map([['w', missing]]) })
    await expect(compiling).rejects.toMatchObject({
      code: 'engine',
      message: expect.stringContaining('gone.safetensors'),
    })
  })

  it('names every op it has no kernel for, and where', async () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: [2] })
    const y = g.scoped('model.layers.3', () => g.relu(x))
    const compiling = engine.compile(graphOf([['y', y]]), { weights: new Map() })
    await expect(compiling).rejects.toThrow(/no kernel for relu \(in model\.layers\.3\)/)
  })

  it('takes no run once it is aborted, and goes on after', async () => {
    const run = await engine.compile(product(), { weights: new Map([['w', storedWeight('f32')]]) })
    await expect(run.run({ x: ROWS }, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'stopped' })
    expect((await run.run({ x: ROWS })).y?.shape).toEqual([2, 3])
    await run.dispose()
    await expect(run.run({ x: ROWS })).rejects.toMatchObject({ code: 'engine' })
  })

  it('leaves the caller what it was given and what it gave', async () => {
    const g = newBuilder()
    const total = g.state('total', [2])
    const next = g.add(total, g.feed('x', { dtype: 'f32', shape: [2] }))
    const graph = prepare(graphOf([['next', next]]), engine.composites)
    const run = await engine.compile(graph, { weights: new Map(), state: { total: 'next' } })
    const start: Record<string, HostTensor> = { total: f32([2], [1, 2]) }
    await run.writeState(start)
    const x = f32([2], [10, 20])
    const first = await run.run({ x }, { fetch: ['next'] })
    await run.run({ x })
    expect([start.total?.data, x.data, first.next?.data].map((d) => [...(d ?? [])])).toEqual([
      [1, 2],
      [10, 20],
      [11, 22],
    ])
    expect((await run.readState()).total).toEqual(f32([2], [21, 42]))
    await run.dispose()
  })

  it('loses no sum where many rows go to few, on two threads', async () => {
    const g = newBuilder()
    const [rows, width] = [8192, 64]
    const ids = g.feed('ids', { dtype: 'i64', shape: [rows] })
    const y = g.scatterAdd(ids, g.feed('x', { dtype: 'f32', shape: [rows, width] }), { rows: 4 })
    const run = await engine.compile(graphOf([['y', y]]), { weights: new Map(), threads: 2 })
    const every = Array.from({ length: rows }, (_, i) => i % 4)
    const ones = f32([rows, width], new Float32Array(rows * width).fill(1))
    const { y: sums } = await run.run({ ids: i64([rows], every), x: ones })
    expect(sums?.data).toEqual(new Float32Array(4 * width).fill(rows / 4))
    await run.dispose()
  })

  it('ends a run in flight before it disposes', async () => {
    const own = onnxruntimeEngine()
    const run = await own.compile(product(), { weights: new Map([['w', storedWeight('f32')]]) })
    const going = run.run({ x: f32([40000, 2], new Float32Array(80000)) })
    await own.dispose()
    expect((await going).y?.shape).toEqual([40000, 3])
  })

  it.each<DType>(['i64', 'u32', 'bool'])('brings %s feeds to outputs unchanged', async (dtype) => {
    const g = newBuilder()
    const graph = graphOf([['y', g.feed('x', { dtype, shape: ['n'] })]])
    const values = {
      i64: BigInt64Array.of(-(2n ** 40n), 3n),
      u32: Uint32Array.of(4_000_000_000, 1),
      bool: Uint8Array.of(1, 0),
    }
    const x = { dtype, shape: [2], data: values[dtype as 'i64' | 'u32' | 'bool'] } as HostTensor
    const run = await engine.compile(graph, { weights: new Map() })
    expect((await run.run({ x })).y).toEqual(x)
    await run.dispose()
  })

  it('keeps times where it is asked to', async () => {
    const g = newBuilder()
    const x = g.feed('x', { dtype: 'f32', shape: ['rows', 2] })
    const y = g.scoped('model.layers.0', () => g.matmul(x, g.weight('w', [3, 2]), { transB: true }))
    const back = g.during('backward', 'model.layers.0', () => g.mul(g.matmul(y, g.weight('w', [3, 2])), 2))
    const options = { weights: new Map([['w', f32([3, 2], VALUES)]]), threads: 1 }
    const plain = await engine.compile(graphOf([['back', back]]), options)
    expect(plain.profile).toBeUndefined()
    const run = await engine.compile(graphOf([['back', back]]), { ...options, profile: true })
    for (let i = 0; i < 3; i++) await run.run({ x: ROWS })
    const profile = await run.profile?.()
    expect(profile?.runs).toBe(2)
    expect(profile?.seconds).toBeGreaterThan(0)
    expect(profile?.timings.map(({ seconds, bytes, ...rest }) => rest)).toEqual([
      { op: 'matmul', scope: 'model.layers.0', phase: 'forward', kernel: 'FusedMatMul', flops: 2 * 2 * 3 * 2 },
      { op: 'matmul', scope: 'model.layers.0', phase: 'backward', kernel: 'MatMul', flops: 2 * 2 * 2 * 3 },
      { op: 'mul', scope: 'model.layers.0', phase: 'backward', kernel: 'Mul', flops: 0 },
    ])
    expect(profile?.held).toHaveLength(3)
    await Promise.all([plain.dispose(), run.dispose()])
  })
})
