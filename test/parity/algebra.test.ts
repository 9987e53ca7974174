/**
 * @file Adapters made of adapters, on models: a combination computes what its parts with their weights compute, and what
 * the verbs write opens in a real PEFT where a Python with it is found (LOWRANK_PYTHON names it).
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { asF32 } from '../../src/peft/low-rank-update.ts'
import { combine } from '../../src/run/combine.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { extract } from '../../src/run/extract.ts'
import { truncate } from '../../src/run/truncate.ts'
import { isRecord } from '../../src/support/json.ts'
import { RandomStream } from '../../src/support/random.ts'
import { f32 } from '../../src/tensor/host-tensor.ts'
import { pythonWith } from '../setup/python.ts'
import { type Json, tinyGpt2, tinyLlama, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { TORCH } from '../tolerances.ts'

const work = mkdtempSync(join(tmpdir(), 'lowrank-algebra-peft-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))
const python = pythonWith('torch', 'peft', 'transformers')

/** A model with every weight moved a little, those of rank one too. */
async function tuned(folder: string, config: Json, seed: number): Promise<string> {
  return await writeTinyModel(folder, config, (weights) => {
    const random = new RandomStream(seed, 'tuned')
    for (const [name, held] of weights) {
      const values = asF32(held, name).map((value) => value + 0.1 * random.normal())
      weights.set(name, f32(held.shape, values))
    }
  })
}

describe.each([
  ['llama', tinyLlama],
  ['gpt2', tinyGpt2],
] as const)('%s', (name, config) => {
  const at = (file: string): string => join(work, name, file)
  const [base, data] = [at('model'), at('train.jsonl')]
  const [a, b] = [at('a'), at('b')]
  const lossOf = async (...adapters: string[]): Promise<number> =>
    (await evaluate({ model: base, data: [data], adapter: adapters, engine: 'reference' })).loss
  const made: string[] = []

  beforeAll(async () => {
    mkdirSync(at(''), { recursive: true })
    await writeTinyModel(base, config)
    const random = new RandomStream(3, 'rows')
    const ids = (): number[] => Array.from({ length: 9 }, () => random.below(263))
    writeRows(
      data,
      Array.from({ length: 4 }, ids).map((row) => ({ input_ids: row, labels: row })),
    )
    const [one, two] = [await tuned(at('tuned-a'), config, 1), await tuned(at('tuned-b'), config, 2)]
    await extract({ tuned: one, model: base, rank: 3, output: a })
    await extract({ tuned: two, model: base, energy: 0.6, exclude: ['c_proj', 'down_proj'], output: b })
    await extract({ tuned: one, model: base, rank: 16, saveRest: true, output: at('rest') })
    made.push(a, b, at('rest'))
  }, 120_000)

  it('cat computes what the adapters with their weights compute, whatever their ranks and targets', async () => {
    await combine({ adapter: [a, b], weights: [0.7, -0.4], combination: 'cat', output: at('cat') })
    made.push(at('cat'))
    const [apart, one] = [await lossOf(`a=${a}:0.7`, `b=${b}:-0.4`), await lossOf(at('cat'))]
    expect(Math.abs(one - apart)).toBeLessThan(1e-6)
    expect(Math.abs(one - (await lossOf(a)))).toBeGreaterThan(1e-3)
    await combine({ adapter: [a, b], weights: [0.7, -0.4], combination: 'svd', rank: 64, output: at('svd') })
    expect(Math.abs((await lossOf(at('svd'))) - apart)).toBeLessThan(1e-6)
  })

  it('truncated to its own rank an adapter is itself; the whole difference is the tuned model', async () => {
    await truncate({ path: a, rank: 3, output: at('same') })
    expect(Math.abs((await lossOf(at('same'))) - (await lossOf(a)))).toBeLessThan(1e-6)
    const { loss } = await evaluate({ model: at('tuned-a'), data: [data], engine: 'reference' })
    expect(Math.abs((await lossOf(at('rest'))) - loss)).toBeLessThan(1e-5)
    await truncate({ path: at('cat'), energy: 0.9, output: at('small') })
    made.push(at('small'))
  })

  it.skipIf(python === undefined)(
    'what is written opens in PEFT, key by key, with the same loss',
    async () => {
      await combine({ adapter: [a, a], weights: [0.5, 0.25], combination: 'linear', output: at('linear') })
      await combine({ adapter: [a, at('rest')], combination: 'svd', rank: 4, output: at('mixed') })
      made.push(at('linear'), at('mixed'))
      const script = fileURLToPath(new URL('../../scripts/goldens/peft_open.py', import.meta.url))
      const pairs = made.flatMap((adapter) => [join(work, name), adapter])
      const out = execFileSync(python ?? '', [script, ...pairs], {
        encoding: 'utf8',
        env: { ...process.env, HF_HUB_OFFLINE: '1' },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      const found = out
        .trim()
        .split('\n')
        .map((line): unknown => JSON.parse(line))
      expect(found).toHaveLength(made.length)
      for (const [i, adapter] of made.entries()) {
        const opened = found[i]
        if (!isRecord(opened)) throw new Error(adapter)
        expect(opened, adapter).toMatchObject({ unexpected: [], onlyOurs: [], onlyTheirs: [] })
        expect(Math.abs(Number(opened.loss) - (await lossOf(adapter))), adapter).toBeLessThan(TORCH.loss)
      }
    },
    240_000,
  )
})
