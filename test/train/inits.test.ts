/** @file Runs whose start was found first: the adapter they leave is the model they trained, in either form. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { evaluate } from '../../src/run/evaluate.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import { tinyGpt2, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { TORCH } from '../tolerances.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-inits-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)

beforeAll(async () => {
  await writeTinyModel(at('llama'))
  await writeTinyModel(at('gpt2'), tinyGpt2)
  const ids = (i: number): number[] => Array.from({ length: 4 + ((i * 5) % 6) }, (_, t) => i + t)
  writeRows(
    at('rows.jsonl'),
    Array.from({ length: 9 }, (_, i) => ({ input_ids: ids(i) })),
  )
})

/** Trains a few steps; the loss of the held rows at the end. */
async function trained(output: string, options: TrainOptions): Promise<number> {
  const common = { data: at('rows.jsonl'), evalData: at('rows.jsonl'), steps: 4, batchSize: 4, rank: 2, samples: 0 }
  const run = train({ engine: 'reference', learningRate: 1e-2, warmup: 0, ...common, ...options, output })
  let loss = Number.NaN
  for await (const event of run) if (event.type === 'eval') loss = event.evalLoss
  return loss
}

const lossOf = async (model: string, adapter?: string): Promise<number> => {
  const more = adapter === undefined ? {} : { adapter: [adapter] }
  return (await evaluate({ model, data: [at('rows.jsonl')], engine: 'reference', ...more })).loss
}

const settingsOf = (folder: string): { r: number; init_lora_weights: unknown } =>
  JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8'))

describe.each([
  ['llama', 'pissa'],
  ['llama', 'pissa_niter_3'],
  ['llama', 'olora'],
  ['gpt2', 'pissa'],
  ['gpt2', 'olora'],
] as const)('%s trained from %s', (model, init) => {
  it('is saved as a plain LoRA of twice the rank that is the trained model on the untouched base', async () => {
    const output = at(`${model}-${init}-plain`)
    const loss = await trained(output, { model: at(model), init })
    expect(settingsOf(output)).toMatchObject({ r: 4, init_lora_weights: true })
    expect(Math.abs((await lossOf(at(model), output)) - loss)).toBeLessThan(TORCH.loss)
    expect(readdirSync(output).some((name) => name.startsWith('base-'))).toBe(false)
  })

  it('in PEFT’s form is opened by taking the start out again, and merged', async () => {
    const output = at(`${model}-${init}-peft`)
    const loss = await trained(output, { model: at(model), init, initForm: 'peft' })
    expect(settingsOf(output)).toMatchObject({ r: 2, init_lora_weights: init })
    expect(Math.abs((await lossOf(at(model), output)) - loss)).toBeLessThan(TORCH.loss)
    await mergeAdapter({ model: at(model), adapter: [output], output: `${output}-merged` })
    expect(Math.abs((await lossOf(`${output}-merged`)) - loss)).toBeLessThan(TORCH.loss)
    const again = await trained(`${output}-again`, {
      model: at(model),
      adapter: output,
      steps: 1,
      learningRate: 1e-9,
    })
    expect(Math.abs(again - loss)).toBeLessThan(TORCH.loss)
  })
})

describe('loftq', () => {
  it('in PEFT’s form brings the quantised base along', async () => {
    const output = at('loftq')
    const loss = await trained(output, { model: at('llama'), init: 'loftq', initForm: 'peft' })
    expect(Math.abs((await lossOf(at('llama'), output)) - loss)).toBeLessThan(TORCH.loss)
    const more = { model: at('llama'), adapter: output, steps: 1, learningRate: 1e-9 }
    expect(Math.abs((await trained(at('loftq-again'), more)) - loss)).toBeLessThan(TORCH.loss)
  })
})

describe('encoders', () => {
  const goldens = (name: string): string => fileURLToPath(new URL(`../goldens/models/${name}`, import.meta.url))
  const models = ['bert-pair', 'deberta-v2', 'modernbert']
  const all = models.flatMap((name) =>
    (['pissa', 'olora', 'loftq', 'eva'] as const).map((init) => [name, init] as const),
  )
  it.each(all)('%s trained from %s is used as it was trained', async (name, init) => {
    const [model, data, output] = [
      join(goldens(name), 'model'),
      join(goldens(name), 'train.jsonl'),
      at(`${name}-${init}`),
    ]
    const initForm = init === 'loftq' ? 'peft' : 'plain'
    const loss = await trained(output, { model, data, evalData: data, init, initForm, steps: 2 })
    const found = await evaluate({ model, adapter: [output], data: [data], engine: 'reference' })
    expect(Math.abs(found.loss - loss)).toBeLessThan(TORCH.loss)
  })
})

describe('eva', () => {
  it('writes its ranks into the config, and what it found beside the run', async () => {
    const output = at('eva')
    const loss = await trained(output, { model: at('llama'), init: 'eva' })
    expect(Math.abs((await lossOf(at('llama'), output)) - loss)).toBeLessThan(TORCH.loss)
    expect(existsSync(join(output, 'initial', 'adapter_config.json'))).toBe(true)
  })
  it('needs more tokens a batch than components', async () => {
    await expect(trained(at('eva-few'), { model: at('llama'), init: 'eva', batchSize: 1, rank: 12 })).rejects.toThrow(
      /at least 24 tokens/,
    )
  })
})
