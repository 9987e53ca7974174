import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { ALGEBRA } from '../../test/tolerances.ts'
import type { CombineOptions } from '../config/verbs/index.ts'
import { loraConfig } from '../formats/peft-config.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { readPeftFolder, writePeftFolder } from '../formats/peft-folder.ts'
import { readSafetensors } from '../formats/tensor-files.ts'
import { frobeniusNorm, type Matrix, matrix, multiply, subtract, transpose } from '../linalg/matrix.ts'
import { recompose, svd, truncated } from '../linalg/svd.ts'
import { readUpdates, scaled } from '../peft/algebra/updates.ts'
import { asF32 } from '../peft/low-rank-update.ts'
import type { LowrankError } from '../support/errors.ts'
import { f32, type HostTensor } from '../tensor/host-tensor.ts'
import { combine } from './combine.ts'

/** Made by real PEFT: scripts/goldens/combine.py. */
const goldens = fileURLToPath(new URL('../../test/goldens/combine', import.meta.url))
const expected = await readSafetensors(join(goldens, 'expected.safetensors'))
const { cases }: { cases: Record<string, { weights: number[]; refused: Record<string, string> }> } = JSON.parse(
  readFileSync(join(goldens, 'cases.json'), 'utf8'),
)
const folder = mkdtempSync(join(tmpdir(), 'lowrank-combine-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let made = 0

const inputs = (name: string): string[] =>
  (cases[name]?.weights ?? []).map((_, i) => join(goldens, `${name}-a${i}`)).filter((path) => existsSync(path))

async function combined(name: string, options: Partial<CombineOptions> & Pick<CombineOptions, 'combination'>) {
  const output = join(folder, `${name}-${options.combination}-${made++}`)
  const { weights } = cases[name] ?? { weights: [] }
  const result = await combine({ adapter: inputs(name), weights: [...weights], output, ...options })
  const { config, tensors } = await readPeftFolder(output)
  return { output, result, config, tensors, updates: readUpdates({ config, tensors }, output) }
}

/** The update of a module in the layout PEFT's get_delta_weight has: tokens are rows of an embedding. */
function deltaOf({ updates }: Awaited<ReturnType<typeof combined>>, path: string): Matrix {
  const update = updates.sites.get(path)
  if (!update) throw new Error(`no update of ${path}`)
  const { a, b } = scaled(update)
  const whole = multiply(b, a)
  return update.embedding ? transpose(whole) : whole
}

function held(key: string): Matrix {
  const tensor = expected.get(key)
  if (!tensor) throw new Error(`no golden ${key}`)
  const [rows = 0, columns = 0] = tensor.shape
  return matrix(rows, columns, Float64Array.from(asF32(tensor, key)))
}

const modulesOf = (prefix: string): string[] =>
  [...expected.keys()]
    .filter((key) => key.startsWith(`${prefix}/`) && !/\.(A|B|bias)$/.test(key))
    .map((key) => key.slice(prefix.length + 1))

const far = (a: Matrix, b: Matrix): number => frobeniusNorm(subtract(a, b)) / (frobeniusNorm(b) || 1)

const METHODS = [
  ['linear', { combination: 'linear' }],
  ['ties', { combination: 'ties', density: 0.5 }],
  ['ties_frequency', { combination: 'ties', density: 0.5, majoritySign: 'frequency' }],
  ['magnitude_prune', { combination: 'magnitude_prune', density: 0.5 }],
] as const

describe('A and B apart, as PEFT sums them', () => {
  for (const name of ['plain', 'negative', 'targets', 'patterns'])
    it.each(METHODS)(`${name}: %s has PEFT's factors`, async (method, options) => {
      const { updates } = await combined(name, options)
      const modules = modulesOf(`${name}/${method}`)
      expect(modules.sort()).toEqual([...updates.sites.keys()].sort())
      for (const path of modules) {
        const update = updates.sites.get(path)
        if (!update) throw new Error(path)
        expect(far(scaled(update).a, held(`${name}/${method}/${path}.A`))).toBeLessThan(ALGEBRA.factors)
        expect(far(update.b, held(`${name}/${method}/${path}.B`))).toBeLessThan(ALGEBRA.factors)
      }
    })

  it('has cross terms: linear of two is not their weighted sum, in PEFT and here', async () => {
    const linear = await combined('plain', { combination: 'linear' })
    expect(far(held('plain/linear/q'), held('wanted/plain/q'))).toBeGreaterThan(0.1)
    expect(far(deltaOf(linear, 'q'), held('plain/linear/q'))).toBeLessThan(ALGEBRA.factors)
  })

  it('is the adapter itself for one of weight 1, with its rank', async () => {
    for (const combination of ['linear', 'cat', 'svd'] as const) {
      const one = await combined('one', { combination })
      expect(one.config.r).toBe(4)
      for (const path of ['q', 'v'])
        expect(far(deltaOf(one, path), held(`wanted/one/${path}`))).toBeLessThan(ALGEBRA.factors)
    }
  })
})

describe('cat and svd', () => {
  const names = Object.keys(cases)
  it.each(names)('%s: cat is the weighted sum', async (name) => {
    const cat = await combined(name, { combination: 'cat' })
    for (const path of modulesOf(`wanted/${name}`))
      expect(far(deltaOf(cat, path), held(`wanted/${name}/${path}`))).toBeLessThan(ALGEBRA.factors)
  })

  it.each(names)("%s: svd is the sum's best approximation", async (name) => {
    for (const rank of [1, 3, undefined]) {
      const low = await combined(name, { combination: 'svd', ...(rank === undefined ? {} : { rank }) })
      for (const { path, energy = 0, rank: own } of low.result.modules) {
        const wanted = held(`wanted/${name}/${path}`)
        const best = frobeniusNorm(subtract(recompose(truncated(svd(wanted), own)), wanted)) / frobeniusNorm(wanted)
        expect(far(deltaOf(low, path), wanted)).toBeLessThan(best + ALGEBRA.best)
        expect(1 - energy).toBeCloseTo(best ** 2, 6)
      }
    }
  })

  it.each(['plain', 'negative', 'ranks', 'targets'])("%s: both are PEFT's update", async (name) => {
    for (const combination of ['cat', 'svd'] as const) {
      const ours = await combined(name, { combination })
      for (const path of modulesOf(`${name}/${combination}`))
        expect(far(deltaOf(ours, path), held(`${name}/${combination}/${path}`))).toBeLessThan(ALGEBRA.factors)
    }
  })
})

describe('where PEFT is wrong, this is right', () => {
  it('rsLoRA: PEFT keeps use_rslora with alpha = r, so that its update is √r times too large', async () => {
    const wanted = held('wanted/rslora/q')
    const scaledUp = matrix(
      wanted.rows,
      wanted.columns,
      wanted.data.map((value) => value * Math.sqrt(8)),
    )
    expect(far(held('rslora/cat/q'), scaledUp)).toBeLessThan(ALGEBRA.factors)
    const cat = await combined('rslora', { combination: 'cat' })
    expect(cat.config.use_rslora).toBe(false)
    expect(far(deltaOf(cat, 'q'), wanted)).toBeLessThan(ALGEBRA.factors)
  })

  it('lora_bias: PEFT forgets it; here it is summed', async () => {
    for (const combination of ['cat', 'svd', 'linear'] as const) {
      const { updates, config } = await combined('bias', { combination })
      expect(config.lora_bias).toBe(true)
      const bias = updates.sites.get('v')?.bBias ?? new Float64Array(0)
      const wanted = asF32(expected.get('wanted/bias/v.bias') as HostTensor, 'bias')
      expect(bias).toHaveLength(wanted.length)
      for (const [i, value] of wanted.entries()) expect(bias[i]).toBeCloseTo(value, 5)
    }
    await expect(combined('bias', { combination: 'ties' })).rejects.toThrow(/bias on B, which ties cannot weigh/)
  })

  it('one adapter: PEFT forgets density and rank; here they count', async () => {
    const pruned = await combined('one', { combination: 'magnitude_prune', density: 0.25 })
    const zeros = pruned.updates.sites.get('q')?.a.data.filter((value) => value === 0).length
    expect(zeros).toBe(18)
    expect((await combined('one', { combination: 'svd', rank: 2 })).config.r).toBe(2)
  })
})

describe('dare', () => {
  it('draws the same for the same seed', async () => {
    const dare = { combination: 'dare_linear', density: 0.5 } as const
    const [one, again, other] = [
      await combined('plain', { ...dare, seed: 7 }),
      await combined('plain', { ...dare, seed: 7 }),
      await combined('plain', { ...dare, seed: 8 }),
    ]
    expect(far(deltaOf(one, 'q'), deltaOf(again, 'q'))).toBe(0)
    expect(far(deltaOf(one, 'q'), deltaOf(other, 'q'))).toBeGreaterThan(0.01)
  })

  it('with density 1 is the method without it', async () => {
    const [ties, dare] = [
      await combined('negative', { combination: 'ties', density: 1 }),
      await combined('negative', { combination: 'dare_ties', density: 1 }),
    ]
    expect(far(deltaOf(dare, 'q'), deltaOf(ties, 'q'))).toBe(0)
  })
})

/** An adapter with an update of one module, as its own folder. */
async function adapter(
  name: string,
  set: Partial<PeftLoraConfig>,
  more: [string, HostTensor][] = [],
  inner = 6,
): Promise<string> {
  const path = join(folder, name)
  cpSync(join(goldens, 'one-a0'), path, { recursive: true })
  const config = loraConfig({ r: 2, lora_alpha: 2, target_modules: ['q'], ...set })
  const values = (count: number): number[] => Array.from({ length: count }, (_, i) => Math.sin(i + name.length))
  const tensors = new Map<string, HostTensor>([
    ['base_model.model.q.lora_A.weight', f32([2, inner], values(2 * inner))],
    ['base_model.model.q.lora_B.weight', f32([8, 2], values(16))],
    ...more,
  ])
  await writePeftFolder(path, { config, tensors })
  return path
}

const failure = (work: Promise<unknown>): Promise<LowrankError> =>
  work.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: LowrankError) => error,
  )

describe('what cannot be combined', () => {
  const output = join(folder, 'never')
  it('other ranks, in a sum of factors, naming module, ranks and what can', async () => {
    const error = await failure(combined('ranks', { combination: 'ties' }))
    expect(error).toMatchObject({ code: 'config', field: 'q', suggestion: expect.stringMatching(/svd or cat/) })
    expect(error.message).toMatch(/rank 2 in .*ranks-a0 and 5 in .*ranks-a1/)
  })

  it('other bases, by name or by size; one base under two names is named with model', async () => {
    const [one, two] = [
      await adapter('base-a', { base_model_name_or_path: 'org/one' }),
      await adapter('base-b', { base_model_name_or_path: 'org/two' }),
    ]
    expect(await failure(combine({ adapter: [one, two], output }))).toMatchObject({
      code: 'config',
      message: expect.stringMatching(/made for org\/one and .* for org\/two/),
    })
    const named = await combine({ adapter: [one, two], output: join(folder, 'named'), model: 'org/two' })
    expect((await readPeftFolder(named.output)).config.base_model_name_or_path).toBe('org/two')
    const wide = await adapter('wide', {}, [], 9)
    expect((await failure(combine({ adapter: [one, wide], output }))).message).toMatch(
      /q is 6 to 8 .* 9 to 8 .* different bases/,
    )
  })

  it('DoRA, a start taken out of the base, values that are not finite', async () => {
    const magnitude: [string, HostTensor] = ['base_model.model.q.lora_magnitude_vector', f32([8], new Array(8).fill(1))]
    const dora = await adapter('dora', { use_dora: true }, [magnitude])
    const pissa = await adapter('pissa', { init_lora_weights: 'pissa' })
    const broken = await adapter('broken', {}, [
      ['base_model.model.q.lora_B.weight', f32([8, 2], new Array(16).fill(Number.NaN))],
    ])
    expect(await failure(combine({ adapter: dora, output }))).toMatchObject({ code: 'unsupported', field: 'use_dora' })
    expect(await failure(combine({ adapter: pissa, output }))).toMatchObject({
      code: 'unsupported',
      field: 'init_lora_weights',
    })
    expect(await failure(combine({ adapter: broken, output }))).toMatchObject({ code: 'numeric', field: 'q.lora_B' })
  })

  it('modules trained whole in two of them with different values; equal ones are kept once', async () => {
    const head = (value: number): [string, HostTensor] => [
      'base_model.model.head.weight',
      f32([2, 2], new Array(4).fill(value)),
    ]
    const set = { modules_to_save: ['head'] }
    const [one, same, other, none] = [
      await adapter('head-1', set, [head(1)]),
      await adapter('head-same', set, [head(1)]),
      await adapter('head-2', set, [head(2)]),
      await adapter('headless', {}),
    ]
    expect(await failure(combine({ adapter: [one, other], output }))).toMatchObject({
      code: 'config',
      field: 'head.weight',
    })
    for (const [i, partner] of [same, none].entries()) {
      const result = await combine({ adapter: [one, partner], output: join(folder, `heads-${i}`) })
      const { config, tensors } = await readPeftFolder(result.output)
      expect(config.modules_to_save).toEqual(['head'])
      expect(tensors.get('base_model.model.head.weight')?.data[0]).toBe(1)
      expect(result.notes).toHaveLength(i)
    }
  })

  it('weights that are not one an adapter, nothing, a folder that is not there; and leaves nothing behind', async () => {
    const one = await adapter('fine', {})
    expect((await failure(combine({ adapter: [one, one], weights: [1], output }))).message).toMatch(
      /2 adapters and 1 weights/,
    )
    expect((await failure(combine({ adapter: [`a=${one}:2`], weights: [1], output }))).message).toMatch(
      /weight 2 of its own/,
    )
    expect(await failure(combine({ adapter: join(folder, 'nowhere'), output }))).toMatchObject({ code: 'missing' })
    expect(await failure(combine({ adapter: one, output, combination: 'ties', density: 0 }))).toMatchObject({
      code: 'usage',
    })
    expect(await failure(combine({ adapter: one, output: one, overwrite: true }))).toMatchObject({ code: 'usage' })
    expect(existsSync(output)).toBe(false)
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})
