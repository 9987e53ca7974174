/**
 * @file Classifiers in use: scores against transformers' and PEFT's (scripts/goldens/encoders.py), rows of every kind, and
 * what is refused.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { classify } from '../../src/run/classify.ts'
import { tinyBert, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { engines, expectClose, golden, inOrder, letters, run, some, withTokenizer } from './classifying.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-classify-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface GoldenRows {
  readonly input_ids: number[][]
  readonly attention_mask: number[][]
  readonly token_type_ids?: number[][]
}

/** The rows that the golden's logits are of, padding taken off. */
function goldenRows(name: string): { input_ids: number[]; token_type_ids?: number[] }[] {
  const all = JSON.parse(readFileSync(golden(name, 'golden.json'), 'utf8')) as GoldenRows
  return all.input_ids.map((ids, row) => {
    const length = (all.attention_mask[row] ?? []).filter((bit) => bit === 1).length
    const types = all.token_type_ids?.[row]
    return { input_ids: ids.slice(0, length), ...(types ? { token_type_ids: types.slice(0, length) } : {}) }
  })
}

function softmax(logits: readonly number[]): number[] {
  const powers = logits.map((x) => Math.exp(x - Math.max(...logits)))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((p) => p / sum)
}

describe.each(engines)('scores are those of transformers and PEFT, on %s', (engine) => {
  const texts = ['bert-pair', 'bert-regression', 'xlm-roberta', 'distilbert', 'electra', 'deberta-v2', 'modernbert']
  it.each([...texts, 'bert-tokens', 'deberta-v2-own'])('%s', async (name) => {
    const logits = (await readSafetensors(golden(name, 'golden.safetensors'))).get('logits_adapter')
    const [, seq = 1, width = seq] = logits?.shape ?? []
    const values = Array.from(logits?.data ?? [], Number)
    const rows = goldenRows(name)
    const found = await classify({ model: golden(name, 'model'), adapter: golden(name, 'adapter'), engine, rows })
    for (const [row, result] of found.entries()) {
      const own = (at: number): number[] => values.slice(at * width, (at + 1) * width)
      if (result.value !== undefined) expectClose([result.value], own(row))
      else if (!result.words) expectClose(inOrder(result), softmax(own(row)))
      else expect(result.words.length).toBe(rows[row]?.input_ids.length)
      for (const [word, { score, label }] of (result.words ?? []).entries()) {
        const wanted = softmax(own(row * seq + word))
        expectClose([score], [Math.max(...wanted)])
        expect(label).toBe(`LABEL_${wanted.indexOf(Math.max(...wanted))}`)
      }
    }
  })
})

describe('rows', () => {
  beforeAll(async () => {
    const model = withTokenizer(await writeTinyModel(at('bert'), { ...tinyBert, hidden_dropout_prob: 0 }))
    const data = writeRows(at('three.jsonl'), some)
    await run({ model, data, output: at('run'), method: 'houlsby', bottleneck: 4, adapterInitStd: 0.2 })
  })

  it('of a file: in its order, whatever its kind and other fields; a label is left alone', async () => {
    const [model, adapter] = [at('bert'), at('run')]
    const csv = at('rows.csv')
    writeFileSync(csv, `id,sentence,label\n${some.map(({ text }, i) => `${i},${text},x`).join('\n')}\n`)
    const events: { type: string; message?: string }[] = []
    const options = { model, adapter, engine: 'reference', batchSize: 5 } as const
    const onProgress = (event: { type: string; message?: string }): number => events.push(event)
    const found = await classify({ ...options, data: csv, columns: ['text=sentence'], onProgress })
    expect(found).toHaveLength(some.length)
    const shuffled = [...some.keys()].reverse()
    const again = await classify({ ...options, rows: shuffled.map((i) => some[i]?.text ?? '') })
    for (const [place, i] of shuffled.entries()) expectClose(inOrder(found[i] ?? {}), inOrder(again[place] ?? {}))
    expect(events.filter(({ type }) => type === 'progress')).toHaveLength(5)
    expect(events.at(-1)?.message).toMatch(/^24 rows, \d+ tokens, [\d,]+ tokens\/s$/)
    const [result] = await classify({ ...options, text: some[0]?.text ?? '' })
    expectClose(inOrder(result ?? {}), inOrder(found[0] ?? {}))
    const [pair] = await classify({ ...options, text: 'a', textPair: 'b' })
    const [{ scores = {} } = {}] = await classify({
      ...options,
      rows: [{ input_ids: [2, 5, 3, 6, 3], token_type_ids: [0, 0, 0, 1, 1] }],
    })
    expect(pair?.scores).toEqual(scores)
  })

  it('of words: first pieces, entities with their places, words cut off left out', async () => {
    const model = at('tagger')
    await writeTinyModel(model, tinyBert)
    withTokenizer(model)
    const towns = Array.from({ length: 24 }, (_, i) => ({
      tokens: [letters[i] ?? 'a', 'rome', 'good', 'bad'],
      labels: ['O', 'B-LOC', i % 2 ? 'I-LOC' : 'I-LOC', 'O'],
    }))
    const data = writeRows(at('towns.jsonl'), towns)
    await run({ model, data, output: at('tagged'), steps: 60, learningRate: 1e-2, engine: 'onnxruntime', batchSize: 4 })
    const options = { model, adapter: at('tagged') }
    const [text] = await classify({ ...options, text: 'zz  rome good, bad' })
    expect(text?.words?.map(({ word, start, end }) => [word, start, end])).toEqual([
      ['zz', 0, 2],
      ['rome', 4, 8],
      ['good', 9, 13],
      [',', 13, 14],
      ['bad', 15, 18],
    ])
    const [given] = await classify({ ...options, rows: [{ tokens: ['a', 'rome', 'good', 'bad'] }] })
    expect(given?.words?.map(({ label }) => label)).toEqual(['O', 'B-LOC', 'I-LOC', 'O'])
    expect(given?.entities).toMatchObject([{ label: 'LOC', text: 'rome good', words: [1, 3] }])
    const notices: string[] = []
    const [cut] = await classify({
      ...{ ...options, rows: [{ tokens: ['a', 'bcd', 'rome'] }], maxLength: 4 },
      onProgress: (event) => (event.type === 'notice' ? notices.push(event.message) : 0),
    })
    expect(cut?.words?.map(({ word }) => word)).toEqual(['a', 'bcd'])
    expect(notices.join()).toContain('1 rows were cut')
    await expect(classify({ ...options, rows: [{ text: 'a', text_pair: 'b' }] })).rejects.toMatchObject({
      field: 'text_pair',
    })
  }, 60_000)

  it('that cannot be read are refused by name', async () => {
    const options = { model: at('bert'), adapter: at('run') }
    const refused = (rows: object[]) => expect(classify({ ...options, rows: rows.map((row) => ({ ...row })) })).rejects
    await refused([{ texts: 'a' }]).toMatchObject({
      ...{ code: 'data', file: 'rows:1', field: 'text', suggestion: 'did you mean text?' },
    })
    await refused([{ text: 'a' }, { text: 5 }]).toMatchObject({ code: 'data', file: 'rows:2', field: 'text' })
    await refused([{ text: 'a', text_pair: 'b' }, { text: 'a' }]).toMatchObject({ file: 'rows:2', field: 'text_pair' })
    await refused([{ text: 'a' }, { text: 'a', text_pair: 'b' }, { text: 'c' }]).toMatchObject({
      ...{ file: 'rows:2', field: 'text_pair', message: expect.stringMatching(/is there, and missing/) },
    })
    await refused([{ text: 'a', text_pair: '' }]).toMatchObject({ field: 'text_pair' })
    await refused([{ tokens: ['a'] }]).toMatchObject({ field: 'tokens' })
    await refused([{ input_ids: [] }]).toMatchObject({ code: 'data', file: 'rows:1' })
    await refused([{ input_ids: [2, 9999, 3] }]).toMatchObject({ field: 'input_ids' })
    await expect(classify({ model: at('bert'), text: 'a', adapterDrop: [0] })).rejects.toMatchObject({
      ...{ code: 'usage', field: 'adapter-drop' },
    })
    await expect(classify({ ...options, textPair: 'b' })).rejects.toMatchObject({ code: 'usage', field: 'text-pair' })
    await expect(classify({ ...options })).rejects.toMatchObject({ code: 'usage', field: 'text' })
    await expect(classify({ ...options, data: writeRows(at('none.jsonl'), []) })).rejects.toMatchObject({
      code: 'data',
    })
    const signal = AbortSignal.abort()
    await expect(classify({ ...options, text: 'a', signal })).rejects.toMatchObject({ code: 'stopped' })
  })

  it('need a classifier: a model without one says how to train it', async () => {
    await expect(classify({ model: at('bert'), text: 'a' })).rejects.toMatchObject({
      ...{ code: 'usage', field: 'adapter', suggestion: expect.stringContaining('lowrank train --model') },
    })
    const masked = golden('bert-masked', 'model')
    await expect(classify({ model: masked, text: 'a' })).rejects.toMatchObject({ code: 'usage', field: 'adapter' })
    const decoder = golden('llama', 'model')
    await expect(classify({ model: decoder, text: 'a' })).rejects.toMatchObject({
      code: 'unsupported',
      field: 'model_type',
    })
  })
})
