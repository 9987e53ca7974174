import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tinyGpt2, tinyLlama, tinyWeights, writeTinyModel } from '../../test/setup/tiny-model.ts'
import { ALGEBRA } from '../../test/tolerances.ts'
import { loraConfig } from '../formats/peft-config.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { readPeftFolder, writePeftFolder } from '../formats/peft-folder.ts'
import { readSafetensors } from '../formats/tensor-files.ts'
import { frobeniusNorm, type Matrix, matrix, multiply, subtract } from '../linalg/matrix.ts'
import { recompose, svd, truncated } from '../linalg/svd.ts'
import { readUpdates, scaled } from '../peft/algebra/updates.ts'
import { asF32 } from '../peft/low-rank-update.ts'
import { LowrankError } from '../support/errors.ts'
import { RandomStream } from '../support/random.ts'
import { f32, type HostTensor } from '../tensor/host-tensor.ts'
import { diff } from './diff.ts'
import { extract } from './extract.ts'
import { mergeAdapter } from './merge.ts'
import { truncate } from './truncate.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-algebra-'))
const at = (name: string): string => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const failure = (work: Promise<unknown>): Promise<LowrankError> =>
  work.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: unknown) => (error instanceof LowrankError ? error : Promise.reject(error)),
  )

function draw(shape: number[], seed: number, size = 1): HostTensor {
  const stream = new RandomStream(seed, 'test')
  return f32(
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => size * stream.normal()),
  )
}

const asMatrix = (tensor: HostTensor): Matrix =>
  matrix(tensor.shape[0] ?? 0, tensor.shape[1] ?? 0, Float64Array.from(asF32(tensor, '')))
const far = (a: Matrix, b: Matrix): number => frobeniusNorm(subtract(a, b)) / (frobeniusNorm(b) || 1)

/** An adapter of two modules of its own. */
async function adapter(name: string, set: Partial<PeftLoraConfig> = {}, seed = 1, r = 6): Promise<string> {
  mkdirSync(at(name))
  const tensors = new Map<string, HostTensor>()
  for (const [i, [path, out, inner]] of (
    [
      ['h.0.q', 12, 9],
      ['h.1.q', 10, 9],
    ] as const
  ).entries()) {
    tensors.set(`base_model.model.${path}.lora_A.weight`, draw([r, inner], seed + i))
    tensors.set(`base_model.model.${path}.lora_B.weight`, draw([out, r], seed + i + 10))
  }
  await writePeftFolder(at(name), { config: loraConfig({ r, lora_alpha: 3, target_modules: ['q'], ...set }), tensors })
  return at(name)
}

async function updatesOf(path: string, more: { magnitudes?: boolean } = {}): Promise<Map<string, Matrix>> {
  const { sites } = readUpdates(await readPeftFolder(path), path, more)
  return new Map([...sites].map(([module, update]) => [module, multiply(scaled(update).b, scaled(update).a)]))
}

describe('truncate', () => {
  it.each([{}, { use_rslora: true }, { rank_pattern: { 'h.1.q': 6 }, alpha_pattern: { 'h.1.q': 9 }, r: 6 }])(
    'is the best of its rank, whatever the scale: %j',
    async (set) => {
      const name = `t-${Object.keys(set).join()}`
      const path = await adapter(name, set)
      for (const rank of [1, 3, 6, 40]) {
        const output = at(`${name}-${rank}`)
        const { modules } = await truncate({ path, rank, output })
        const [before, after] = [await updatesOf(path), await updatesOf(output)]
        for (const module of modules) {
          const [whole, cut] = [before.get(module.path), after.get(module.path)]
          if (!whole || !cut) throw new Error(module.path)
          const best = far(recompose(truncated(svd(whole), module.rank)), whole)
          expect(module.rank).toBe(Math.min(rank, 6))
          expect(far(cut, whole)).toBeLessThan(best + ALGEBRA.best)
          expect(Math.abs(module.error - best)).toBeLessThan(ALGEBRA.best)
        }
      }
    },
  )

  it('by energy takes the smallest rank of each that has it', async () => {
    const path = await adapter('by-energy')
    const { modules } = await truncate({ path, energy: 0.8, output: at('by-energy-out') })
    for (const { path: module, rank, energy } of modules) {
      const whole = (await updatesOf(path)).get(module)
      if (!whole) throw new Error(module)
      const squares = Array.from(svd(whole).s, (value) => value ** 2)
      const share = (r: number): number =>
        squares.slice(0, r).reduce((a, b) => a + b, 0) / squares.reduce((a, b) => a + b, 0)
      expect(energy).toBeCloseTo(share(rank), 6)
      expect(share(rank)).toBeGreaterThanOrEqual(0.8)
      expect(share(rank - 1)).toBeLessThan(0.8)
    }
  })

  it('needs a rank or an energy, not both, and no DoRA', async () => {
    const [path, output] = [await adapter('refused', { use_dora: true }), at('never')]
    expect(await failure(truncate({ path, output }))).toMatchObject({ code: 'usage', field: 'rank' })
    expect(await failure(truncate({ path, output, rank: 1, energy: 0.5 }))).toMatchObject({ code: 'usage' })
    expect(await failure(truncate({ path, output, rank: 2 }))).toMatchObject({ code: 'unsupported', field: 'use_dora' })
    expect(await failure(truncate({ path: at('nowhere'), output, rank: 2 }))).toMatchObject({ code: 'missing' })
    expect(existsSync(output)).toBe(false)
  })
})

describe('diff', () => {
  it('of an adapter and itself is nothing, at full overlap', async () => {
    const path = await adapter('same')
    const { modules, norm, cosine } = await diff({ adapter: [path, path] })
    expect(norm).toBeLessThan(1e-12)
    expect(cosine).toBeCloseTo(1, 12)
    for (const { difference } of modules) {
      expect(difference?.outputOverlap).toBeCloseTo(1, 10)
      expect(difference?.inputOverlap).toBeCloseTo(1, 10)
    }
  })

  it('has the numbers of the large matrices', async () => {
    const [a, b] = [await adapter('d-a', {}, 1, 4), await adapter('d-b', { use_rslora: true }, 50, 2)]
    const [one, two] = [await updatesOf(a), await updatesOf(b)]
    const result = await diff({ adapter: [a, b] })
    let total = 0
    for (const { path, a: left, difference } of result.modules) {
      const [X, Y] = [one.get(path), two.get(path)]
      if (!X || !Y || !difference) throw new Error(path)
      const [x, y] = [svd(X), svd(Y)]
      const inner = X.data.reduce((sum, value, i) => sum + value * (Y.data[i] ?? 0), 0)
      expect(left?.norm).toBeCloseTo(frobeniusNorm(X), 5)
      expect(difference.norm).toBeCloseTo(frobeniusNorm(subtract(X, Y)), 5)
      expect(difference.cosine).toBeCloseTo(inner / frobeniusNorm(X) / frobeniusNorm(Y), 6)
      const shared = multiply(transposeFirst(x.u, 4), firstOf(y.u, 2))
      expect(difference.outputOverlap).toBeCloseTo(frobeniusNorm(shared) ** 2 / 2, 6)
      total += difference.norm ** 2
    }
    expect(result.norm).toBeCloseTo(Math.sqrt(total), 8)
  })

  it('names modules that one lacks, zero updates, other bases and DoRA', async () => {
    const [a, fresh] = [await adapter('n-a'), await adapter('n-fresh')]
    const held = await readPeftFolder(fresh)
    held.tensors.set('base_model.model.h.0.q.lora_B.weight', f32([12, 6], new Float32Array(72)))
    for (const key of [...held.tensors.keys()].filter((name) => name.includes('h.1'))) held.tensors.delete(key)
    await writePeftFolder(fresh, held)
    const [zero, lone] = (await diff({ adapter: [a, fresh] })).modules
    expect(zero?.difference).toMatchObject({ cosine: null, outputOverlap: null })
    expect(zero?.b).toMatchObject({ norm: 0, effectiveRank: 0, stableRank: 0 })
    expect(lone).not.toHaveProperty('b')
    expect(lone).not.toHaveProperty('difference')
    held.tensors.set('base_model.model.h.0.q.lora_B.weight', draw([7, 6], 1))
    await writePeftFolder(fresh, held)
    expect(await failure(diff({ adapter: [a, fresh] }))).toMatchObject({ code: 'config', field: 'h.0.q' })
    const dora = await adapter('n-dora', { use_dora: true })
    expect((await diff({ adapter: [a, dora] })).notes.join()).toMatch(/n-dora is DoRA/)
    expect(await failure(diff({ adapter: [a] }))).toMatchObject({ code: 'usage' })
    expect(await failure(diff({ adapter: [a, a, a] }))).toMatchObject({ code: 'usage' })
  })
})

function firstOf(m: Matrix, count: number): Matrix {
  return matrix(
    m.rows,
    count,
    Float64Array.from(
      { length: m.rows * count },
      (_, i) => m.data[Math.floor(i / count) * m.columns + (i % count)] ?? 0,
    ),
  )
}
function transposeFirst(m: Matrix, count: number): Matrix {
  const first = firstOf(m, count)
  return matrix(
    count,
    m.rows,
    Float64Array.from(
      { length: m.rows * count },
      (_, i) => first.data[(i % m.rows) * count + Math.floor(i / m.rows)] ?? 0,
    ),
  )
}

/** Adds an update of a rank to a stored weight. */
function changed(weight: HostTensor, rank: number, seed: number): HostTensor {
  const [rows = 0, columns = 0] = weight.shape
  const update = multiply(asMatrix(draw([rows, rank], seed, 0.1)), asMatrix(draw([rank, columns], seed + 1, 0.1)))
  return f32(
    weight.shape,
    Float64Array.from(asF32(weight, ''), (value, i) => value + (update.data[i] ?? 0)),
  )
}

describe.each([
  [
    'llama',
    tinyLlama,
    'model.layers.0.self_attn.q_proj',
    'model.layers.1.mlp.up_proj',
    'model.norm.weight',
    'model.embed_tokens.weight',
  ],
  [
    'gpt2',
    tinyGpt2,
    'transformer.h.0.attn.c_attn',
    'transformer.h.1.mlp.c_fc',
    'transformer.ln_f.weight',
    'transformer.wte.weight',
  ],
] as const)('extract, %s', (name, config, first, second, norm, embedding) => {
  const [base, low, more] = [at(`${name}-base`), at(`${name}-low`), at(`${name}-more`)]
  const change = (weights: Map<string, HostTensor>, path: string, rank: number, seed: number): void => {
    const held = weights.get(path)
    if (!held) throw new Error(path)
    weights.set(path, changed(held, rank, seed))
  }
  beforeAll(async () => {
    await writeTinyModel(base, config)
    await writeTinyModel(low, config, (weights) => {
      change(weights, `${first}.weight`, 3, 1)
      change(weights, `${second}.weight`, 2, 5)
    })
    await writeTinyModel(more, config, (weights) => {
      change(weights, `${first}.weight`, 12, 1)
      change(weights, embedding, 12, 3)
      const held = weights.get(norm)
      if (held)
        weights.set(
          norm,
          f32(
            held.shape,
            Float32Array.from(asF32(held, norm), (value) => value + 0.5),
          ),
        )
    })
  })

  it('gives a low-rank change back, merged into the base again', async () => {
    const output = at(`${name}-adapter`)
    const result = await extract({ tuned: low, model: base, energy: 1 - 1e-9, output })
    expect(result.modules.map(({ path, rank }) => [path, rank])).toEqual([
      [first, 3],
      [second, 2],
    ])
    expect(result.energy).toBeGreaterThan(1 - 1e-8)
    expect(result.rest).toEqual({ tensors: [], saved: false })
    await mergeAdapter({ model: base, adapter: output, output: at(`${name}-merged`) })
    await sameWeights(at(`${name}-merged`), low, 1e-6)
  })

  it('to a rank has the error of the singular value decomposition', async () => {
    const output = at(`${name}-rank`)
    const { modules, rest } = await extract({ tuned: more, model: base, rank: 2, output })
    expect(rest.tensors).toEqual([embedding, norm].sort((a, b) => rest.tensors.indexOf(a) - rest.tensors.indexOf(b)))
    const [weights, tuned] = [tinyWeights(config), await readSafetensors(join(more, 'model.safetensors'))]
    const [before, after] = [weights.get(`${first}.weight`), tuned.get(`${first}.weight`)]
    if (!before || !after) throw new Error(first)
    const difference = subtract(asMatrix(after), asMatrix(before))
    const best = far(recompose(truncated(svd(difference), 2)), difference)
    expect(Math.abs(Math.sqrt(1 - (modules[0]?.energy ?? 0)) - best)).toBeLessThan(ALGEBRA.best)
  })

  it('with the rest saved whole is the tuned model', async () => {
    const output = at(`${name}-rest`)
    const { rest } = await extract({ tuned: more, model: base, energy: 1, saveRest: true, output })
    expect(rest.saved).toBe(true)
    await mergeAdapter({ model: base, adapter: output, output: at(`${name}-rest-merged`) })
    await sameWeights(at(`${name}-rest-merged`), more, 1e-5)
  })

  it('refuses models that are the same, of other shapes, with values that are not finite', async () => {
    const output = at(`${name}-never`)
    const wide = await writeTinyModel(
      at(`${name}-wide`),
      name === 'gpt2' ? { ...config, n_inner: 32 } : { ...config, intermediate_size: 32 },
    )
    const broken = await writeTinyModel(at(`${name}-broken`), config, (weights) => {
      const held = weights.get(`${first}.weight`)
      if (held) weights.set(`${first}.weight`, f32(held.shape, new Float32Array(held.data.length).fill(Number.NaN)))
    })
    expect(await failure(extract({ tuned: base, model: base, rank: 2, output }))).toMatchObject({ code: 'config' })
    expect((await failure(extract({ tuned: wide, model: base, rank: 2, output }))).message).toMatch(
      /it was not tuned from that base/,
    )
    expect(await failure(extract({ tuned: broken, model: base, rank: 2, output }))).toMatchObject({
      code: 'numeric',
      field: `${first}.weight`,
    })
    expect(await failure(extract({ tuned: low, model: base, rank: 2, targets: ['nothing'], output }))).toMatchObject({
      code: 'missing',
    })
    expect(existsSync(output)).toBe(false)
  })
})

async function sameWeights(folderA: string, folderB: string, close: number): Promise<void> {
  const [a, b] = [
    await readSafetensors(join(folderA, 'model.safetensors')),
    await readSafetensors(join(folderB, 'model.safetensors')),
  ]
  for (const [name, value] of b) {
    const other = a.get(name)
    if (!other) throw new Error(`${name} is not there`)
    const [x, y] = [asF32(other, name), asF32(value, name)]
    expect(Math.max(...x.map((element, i) => Math.abs(element - (y[i] ?? 0)))), name).toBeLessThan(close)
  }
}

describe('an error leaves nothing behind', () => {
  it('and a stop is one', async () => {
    const [path, output] = [await adapter('stopped'), at('stopped-out')]
    const error = await failure(truncate({ path, rank: 1, output, signal: AbortSignal.abort() }))
    expect(error.code).toBe('stopped')
    expect(existsSync(output)).toBe(false)
  })
})
