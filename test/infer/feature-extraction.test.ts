/**
 * @file Adapters that PEFT made on a model without its head, whose names lack the body's prefix
 * (scripts/goldens/feature_extraction.py): the same vectors on models whose files have a head or not; merged; what does
 * not fit is told.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { embed } from '../../src/run/embed.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { writeRows } from '../setup/tiny-model.ts'
import { TORCH } from '../tolerances.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-bare-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const goldens = fileURLToPath(new URL('../goldens', import.meta.url))
const adapters = join(goldens, 'infer', 'feature-extraction')
const modelOf = (name: string): string => join(goldens, 'models', name, 'model')

interface Golden {
  readonly input_ids: number[][]
  readonly vectors: number[][]
}
const goldenOf = (name: string): Golden => JSON.parse(readFileSync(join(adapters, name, 'vectors.json'), 'utf8'))
const rowsOf = (name: string): string =>
  writeRows(
    join(lab, `${name}.jsonl`),
    goldenOf(name).input_ids.map((input_ids) => ({ input_ids })),
  )

function distance(found: readonly Float32Array[], expected: readonly ArrayLike<number>[]): number {
  expect(found.length).toBe(expected.length)
  return Math.max(
    ...found.flatMap((row, i) => Array.from(row, (value, j) => Math.abs(value - (expected[i]?.[j] ?? 9)))),
  )
}

describe.each(readdirSync(adapters))('an adapter on the body of %s', (name) => {
  it('gives the vectors it gives in PEFT, and is merged', async () => {
    const [model, adapter, data] = [modelOf(name), [join(adapters, name)], [rowsOf(name)]]
    const messages: string[] = []
    const onProgress = (event: object): unknown => 'message' in event && messages.push(String(event.message))
    const found = await embed({ model, adapter, data, onProgress })
    expect(distance(found, goldenOf(name).vectors)).toBeLessThan(TORCH.logits)
    const hasPooler = messages.some((message) => message.includes('its pooler is left out'))
    expect(hasPooler).toBe(name === 'bert-pair')
    const output = join(lab, `${name}-merged`)
    await mergeAdapter({ model, adapter, output })
    const merged = await embed({ model: output, data })
    expect(distance(merged, found)).toBeLessThan(1e-5)
    expect([...(await readSafetensors(join(output, 'model.safetensors'))).keys()].sort()).toEqual(
      [...(await readSafetensors(join(model, 'model.safetensors'))).keys()].sort(),
    )
    const config = (folder: string): unknown => JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
    expect(config(output)).toEqual(config(model))
  })
})

it('one of another family is told by what it names', async () => {
  const adapter = [join(adapters, 'distilbert')]
  const options = { model: modelOf('bert-pair'), adapter, data: [rowsOf('distilbert')] }
  await expect(embed(options)).rejects.toThrow(/q_lin/)
  const own = { model: modelOf('bert-pair'), adapter: [join(adapters, 'bert-pair')], data: [rowsOf('bert-pair')] }
  await expect(evaluate(own)).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringMatching(/a model without a head/),
  })
})
