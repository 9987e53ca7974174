/** @file Evaluation on rows of every kind: which rows count, in which order, from which files. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseHfConfig } from '../formats/hf-config.ts'
import { writeSafetensors } from '../formats/tensor-files.ts'
import { modelOf } from '../models/registry.ts'
import { RandomStream } from '../support/random.ts'
import { f32, sizeOf } from '../tensor/host-tensor.ts'
import { evaluate } from './evaluate.ts'

const work = mkdtempSync(join(tmpdir(), 'lowrank-eval-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))
const config = {
  model_type: 'llama',
  vocab_size: 17,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 16,
  tie_word_embeddings: true,
}
const model = join(work, 'model')
const rows = (file: string, ...list: object[]): string => {
  writeFileSync(join(work, file), list.map((row) => `${JSON.stringify(row)}\n`).join(''))
  return join(work, file)
}

beforeAll(async () => {
  mkdirSync(model)
  const random = new RandomStream(1, 'evaluate.test')
  const draw = (shape: readonly number[]) =>
    f32(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => 0.5 * random.normal()),
    )
  const modules = modelOf(parseHfConfig(config, 'config.json')).modules.filter(({ tiedTo }) => tiedTo === undefined)
  const tensors = modules.flatMap(({ path, parameters }) =>
    parameters.map(({ name, shape }) => [`${path}.${name}`, draw(shape)] as const),
  )
  await writeSafetensors(join(model, 'model.safetensors'), new Map(tensors))
  writeFileSync(join(model, 'config.json'), JSON.stringify(config))
})

const engine = 'reference'

describe('eval', () => {
  it('weights by labels, whatever the batches, and keeps the order of the data', async () => {
    const list = [
      { input_ids: [1, 2, 3, 4, 5, 6] },
      { input_ids: [7, 8], labels: [-100, -100] },
      { input_ids: [9, 8, 7], labels: [9, -100, 7] },
      { input_ids: [3, 1, 4, 1], labels: [-100, -100, 4, 1] },
    ]
    const data = [rows('mixed.jsonl', ...list)]
    const notices: string[] = []
    const onProgress = (event: { type: string; message?: string }): void => {
      if (event.message) notices.push(event.message)
    }
    const whole = await evaluate({ model, data, engine, perExample: true, onProgress })
    expect(whole).toMatchObject({ tokens: 5 + 1 + 2, examples: 3 })
    expect(notices).toEqual([expect.stringMatching(/1 rows? .*no token with loss/)])
    const single = await evaluate({ model, data, engine, batchSize: 1 })
    expect(single.loss).toBeCloseTo(whole.loss, 6)
    const [first = 0, none, third = 0, fourth = 0] = whole.losses ?? []
    expect(none).toBe(0)
    expect((5 * first + third + 2 * fourth) / 8).toBeCloseTo(whole.loss, 6)
    const alone = await evaluate({ model, data: [rows('third.jsonl', list[2] ?? {})], engine })
    expect(alone.loss).toBeCloseTo(third, 6)
    expect(alone).not.toHaveProperty('losses')
  })

  it('takes the test file of a folder', async () => {
    const folder = join(work, 'data')
    mkdirSync(folder)
    rows('data/train.jsonl', { input_ids: [1, 2, 3] })
    rows('data/test.jsonl', { input_ids: [4, 5] })
    expect(await evaluate({ model, data: [folder], engine })).toMatchObject({ tokens: 1, examples: 1 })
  })

  it('names the row that does not fit, and counts it where it is told to', async () => {
    const data = [rows('bad.jsonl', { input_ids: [1, 2] }, { input_ids: [1, 99] }, { input_ids: [1, 2, 3] })]
    await expect(evaluate({ model, data, engine })).rejects.toMatchObject({
      code: 'data',
      file: expect.stringMatching(/bad\.jsonl:2$/),
    })
    const found = await evaluate({ model, data, engine, skipBadRows: true, perExample: true })
    expect(found).toMatchObject({ tokens: 3, examples: 2 })
    expect(found.losses?.map((loss) => loss > 0)).toEqual([true, false, true])
  })

  it('refuses arithmetic that no engine has, and stops when it is told to', async () => {
    const data = [rows('one.jsonl', { input_ids: [1, 2] })]
    await expect(evaluate({ model, data, engine, dtype: 'bf16' })).rejects.toMatchObject({
      code: 'unsupported',
      field: 'dtype',
    })
    await expect(evaluate({ model, data, engine, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'stopped',
    })
  })
})
