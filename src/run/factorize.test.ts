import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from '../formats/tensor-files.ts'
import { frobeniusNorm, type Matrix, matrix, multiply, subtract } from '../linalg/matrix.ts'
import { qr } from '../linalg/qr.ts'
import { recompose, svd, truncated } from '../linalg/svd.ts'
import { asF32, storeLike } from '../peft/low-rank-update.ts'
import { LowrankError } from '../support/errors.ts'
import { RandomStream } from '../support/random.ts'
import { f32, type HostTensor, i64, tensor } from '../tensor/host-tensor.ts'
import { factorize } from './factorize.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-factorize-'))
const at = (name: string): string => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const failure = (work: Promise<unknown>): Promise<LowrankError> =>
  work.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: unknown) => (error instanceof LowrankError ? error : Promise.reject(error)),
  )

function random(rows: number, columns: number, seed: number): Matrix {
  const stream = new RandomStream(seed, 'test')
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  )
}

function withSpectrum(rows: number, columns: number, valueAt: (i: number) => number): Matrix {
  const s = Float64Array.from({ length: Math.min(rows, columns) }, (_, i) => valueAt(i))
  return recompose({ u: qr(random(rows, s.length, 1)).q, s, v: qr(random(columns, s.length, 2)).q })
}

const asTensor = ({ rows, columns, data }: Matrix): HostTensor => f32([rows, columns], data)
const asMatrix = (held: HostTensor | undefined): Matrix => {
  if (!held) throw new Error('no such tensor')
  return matrix(held.shape[0] ?? 0, held.shape[1] ?? 0, Float64Array.from(asF32(held, '')))
}

const MATRICES: Record<string, Matrix> = {
  flat: random(90, 120, 7),
  steep: withSpectrum(100, 70, (i) => 0.8 ** i),
  slow: withSpectrum(110, 110, (i) => 1 / Math.sqrt(1 + i)),
  /** Hard for a sketch: a plateau whose end is not far below. */
  plateau: withSpectrum(120, 100, (i) => (i < 12 ? 1 : 0.9 * 0.97 ** i)),
  low: multiply(random(60, 5, 3), random(5, 80, 4)),
}
const file = at('matrices.safetensors')
await writeSafetensors(file, new Map(Object.entries(MATRICES).map(([name, m]) => [name, asTensor(m)])))
const stored = await readSafetensors(file)

describe('W ≈ B·A', () => {
  for (const algorithm of ['svd', 'randomized'] as const)
    it(`${algorithm}: the saved factors are within 1 % of the best possible error`, async () => {
      for (const rank of [1, 8, 40]) {
        const output = at(`${algorithm}-${rank}.safetensors`)
        const { tensors } = await factorize({ path: file, rank, algorithm, output })
        const factors = await readSafetensors(output)
        expect(tensors).toHaveLength(Object.keys(MATRICES).length)
        for (const { name, error = Number.NaN, rank: own = 0, energy = 0 } of tensors) {
          const whole = asMatrix(stored.get(name))
          const [a, b] = [asMatrix(factors.get(`${name}.lora_A`)), asMatrix(factors.get(`${name}.lora_B`))]
          expect([a.rows, a.columns, b.rows, b.columns]).toEqual([own, whole.columns, whole.rows, own])
          const norm = frobeniusNorm(whole)
          const left = frobeniusNorm(subtract(whole, multiply(b, a))) / norm
          const best = frobeniusNorm(subtract(recompose(truncated(svd(whole), own)), whole)) / norm
          // f32 factors cannot be nearer than rounding.
          expect(left, `${name}, rank ${rank}`).toBeLessThan(1.01 * best + 1e-6)
          expect(Math.abs(error - left)).toBeLessThan(1e-9)
          expect(energy).toBeCloseTo(1 - left ** 2, 9)
        }
      }
    })

  it('repeats a sketch until more iterations change nothing, and says how many', async () => {
    const { tensors } = await factorize({ path: file, rank: 8, algorithm: 'randomized', check: true })
    for (const { name, iterations = 0, error = 1, optimal = 0, spectrum } of tensors) {
      expect(iterations).toBeGreaterThanOrEqual(2)
      expect(error, name).toBeLessThan(1.01 * optimal + 1e-6)
      expect(spectrum).toHaveLength(Math.min(...(tensors.find((t) => t.name === name)?.shape ?? [])))
    }
    const again = await factorize({ path: file, rank: 8, algorithm: 'randomized', check: true })
    expect(again).toEqual(await factorize({ path: file, rank: 8, algorithm: 'randomized', check: true }))
  })

  it('says the error of every rank, which is the tail of the spectrum', async () => {
    const { tensors } = await factorize({ path: file })
    for (const { name, errors, spectrum, norm, rank, effectiveRank = 0 } of tensors) {
      const whole = asMatrix(stored.get(name))
      const s = svd(whole).s
      expect(rank).toBeUndefined()
      expect(errors).toHaveLength(s.length + 1)
      expect(errors[0]).toBeCloseTo(1, 9)
      expect(norm).toBeCloseTo(frobeniusNorm(whole), 9)
      for (const r of [1, 5, s.length]) {
        expect(spectrum[r - 1]).toBeCloseTo(s[r - 1] ?? 0, 9)
        expect(errors[r]).toBeCloseTo(frobeniusNorm(subtract(recompose(truncated(svd(whole), r)), whole)) / norm, 8)
      }
      expect(effectiveRank).toBeGreaterThan(1)
      expect(effectiveRank).toBeLessThanOrEqual(s.length)
    }
  })

  it('reads half floats, takes a rank above the matrix as the whole, and zeros as zero', async () => {
    const path = at('halves.safetensors')
    const whole = MATRICES.steep ?? matrix(1, 1)
    const values = Float32Array.from(whole.data)
    const shape = [whole.rows, whole.columns]
    await writeSafetensors(
      path,
      new Map<string, HostTensor>([
        ['bf16', storeLike({ dtype: 'bf16', shape }, values)],
        ['f16', storeLike({ dtype: 'f16', shape }, values)],
        ['zero', f32([4, 3], new Float32Array(12))],
      ]),
    )
    const { tensors } = await factorize({ path, rank: 500 })
    expect(tensors.map(({ name, dtype }) => [name, dtype])).toEqual(
      expect.arrayContaining([
        ['bf16', 'bf16'],
        ['f16', 'f16'],
        ['zero', 'f32'],
      ]),
    )
    for (const { rank, error, shape: own } of tensors) {
      expect(rank).toBe(Math.min(...own))
      expect(error).toBeLessThan(1e-6)
    }
  })
})

describe('the page', () => {
  it('shows spectrum and errors of each matrix without network or script', async () => {
    const report = at('page.html')
    await factorize({ path: file, rank: 8, report })
    const page = readFileSync(report, 'utf8')
    for (const name of Object.keys(MATRICES)) expect(page).toContain(`<h2>${name}</h2>`)
    expect(page.match(/<svg /g)).toHaveLength(2 * Object.keys(MATRICES).length)
    expect(page).not.toMatch(/<script|src=|href=|https?:|NaN|undefined|Infinity/)
  })
})

describe('what cannot be factorized', () => {
  it('is passed over aloud, or refused where it is named', async () => {
    const path = at('mixed.safetensors')
    await writeSafetensors(
      path,
      new Map<string, HostTensor>([
        ['layer.weight', asTensor(random(6, 4, 1))],
        ['layer.bias', f32([6], new Float32Array(6))],
        ['empty', f32([0, 4], [])],
        ['ids', i64([2, 2], [1, 2, 3, 4])],
        ['mask', tensor('bool', [2, 2], new Uint8Array(4))],
      ]),
    )
    const { tensors, skipped } = await factorize({ path, rank: 2 })
    expect(tensors.map(({ name }) => name)).toEqual(['layer.weight'])
    expect(Object.fromEntries(skipped.map(({ name, why }) => [name, why]))).toEqual({
      'layer.bias': 'of shape [6], not a matrix',
      empty: 'empty: [0, 4]',
      ids: 'of type i64, not a float',
      mask: 'of type bool, not a float',
    })
    for (const name of ['layer.bias', 'empty', 'ids'])
      expect(await failure(factorize({ path, tensor: [name], rank: 1 }))).toMatchObject({
        code: 'unsupported',
        field: name,
      })
    expect(await failure(factorize({ path, tensor: ['layer.wieght'], rank: 1 }))).toMatchObject({
      code: 'missing',
      field: 'layer.wieght',
      suggestion: 'layer.weight',
    })
  })

  it('NaN and Infinity name tensor and place; nothing is written', async () => {
    const path = at('nan.safetensors')
    const output = at('nan-out.safetensors')
    for (const [value, place] of [
      [Number.NaN, 'row 1, column 0 is NaN'],
      [Number.POSITIVE_INFINITY, 'row 1, column 0 is Infinity'],
    ] as const) {
      await writeSafetensors(path, new Map([['w', f32([2, 2], [1, 2, value, 4])]]))
      const error = await failure(factorize({ path, rank: 1, output }))
      expect(error).toMatchObject({ code: 'numeric', field: 'w' })
      expect(error.message).toContain(place)
    }
    expect(existsSync(output)).toBe(false)
  })

  it('missing, corrupt and occupied files, and options that do not go together', async () => {
    const torn = at('torn.safetensors')
    writeFileSync(torn, readFileSync(file).subarray(0, 500))
    expect(await failure(factorize({ path: at('nowhere.safetensors') }))).toMatchObject({ code: 'missing' })
    expect(await failure(factorize({ path: torn }))).toMatchObject({ code: 'format' })
    expect(await failure(factorize({ path: file, rank: 1, output: torn }))).toMatchObject({
      code: 'usage',
      field: 'output',
    })
    expect(await failure(factorize({ path: file, rank: 1, output: file, overwrite: true }))).toMatchObject({
      code: 'usage',
    })
    expect(await failure(factorize({ path: file, output: at('x.safetensors') }))).toMatchObject({
      code: 'usage',
      field: 'rank',
    })
    expect(await failure(factorize({ path: file, algorithm: 'randomized' }))).toMatchObject({
      code: 'usage',
      field: 'rank',
    })
    expect((await failure(factorize({ path: file, rank: 2, signal: AbortSignal.abort() }))).code).toBe('stopped')
  })
})
