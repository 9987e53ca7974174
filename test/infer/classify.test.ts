/**
 * @file Classifiers in use: scores against transformers' and PEFT's (scripts/goldens/encoders.py), several adapters on one
 * base each answering its own rows, rows of every kind, and what is refused.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { needsOwnBatch } from '../../src/infer/seat.ts'
import { type ClassifyResult, classify, openClassifier } from '../../src/run/classify.ts'
import { openReader } from '../../src/run/open-reader.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import { tinyBert, writeJson, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { tinyWordpieceFiles } from '../setup/tiny-wordpiece.ts'
import { TORCH } from '../tolerances.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-classify-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const golden = (name: string, part = ''): string =>
  fileURLToPath(new URL(`../goldens/models/${name}/${part}`, import.meta.url))
const engines = ['reference', 'onnxruntime'] as const

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

/** Scores in the order of the labels. */
const inOrder = ({ scores = {} }: ClassifyResult): number[] =>
  Object.keys(scores)
    .sort()
    .map((label) => scores[label] ?? Number.NaN)

function expectClose(found: readonly number[], wanted: readonly number[]): void {
  expect(found.length).toBe(wanted.length)
  for (const [i, value] of found.entries())
    expect(Math.abs(value - (wanted[i] ?? Number.NaN))).toBeLessThan(TORCH.logits)
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

const letters = 'abcdefghijklmnopqrstuvwxyz'
const some = Array.from({ length: 24 }, (_, i) => ({
  text: `${letters[i]} ${letters[(7 * i) % 26]} ${'good bad rome'.split(' ')[i % 3]} ${letters.slice(0, i % 9)}`,
  label: ['no', 'yes', 'well'][i % 3],
}))

function withTokenizer(model: string): string {
  const { tokenizerJson, tokenizerConfig } = tinyWordpieceFiles()
  writeJson(join(model, 'tokenizer.json'), tokenizerJson)
  writeJson(join(model, 'tokenizer_config.json'), tokenizerConfig)
  return model
}

async function run(options: TrainOptions): Promise<string> {
  const fit = { batchSize: 2, steps: 2, learningRate: 3e-2, samples: 0, engine: 'reference', ...options } as const
  for await (const event of train(fit)) if (event.type === 'done') return event.result.output
  throw new Error('the run gave no result')
}

describe('several adapters on one encoder', () => {
  const model = at('bert')
  const adapters = new Map<string, TrainOptions>([
    ['lora', { rank: 2 }],
    ['biased', { rank: 2, bias: 'all', seed: 2 }],
    ['two', { rank: 4, seed: 3, data: at('two.jsonl') }],
    ['dora', { rank: 2, dora: true, seed: 4 }],
    ['words', { rank: 2, seed: 5, modulesToSave: ['bert.embeddings.word_embeddings'] }],
    ['houlsby', { method: 'houlsby', bottleneck: 4, adapterInitStd: 0.2 }],
    ['pfeiffer', { method: 'pfeiffer', bottleneck: 4, seed: 6 }],
    ['parallel', { method: 'parallel', bottleneck: 4, seed: 7 }],
    ['bitfit', { method: 'bitfit' }],
    ['norms', { method: 'ln-tuning' }],
    ['head', { method: 'head' }],
    ['number', { method: 'bitfit', data: at('numbers.jsonl'), seed: 8 }],
    ['tags', { rank: 2, data: at('tags.jsonl'), seed: 9 }],
  ])
  const named = (names: readonly string[]): { name: string; path: string }[] =>
    names.map((name) => ({ name, path: at('runs', name) }))

  beforeAll(async () => {
    await writeTinyModel(model, { ...tinyBert, hidden_dropout_prob: 0 })
    withTokenizer(model)
    const data = writeRows(at('three.jsonl'), some)
    writeRows(
      at('two.jsonl'),
      some.map((row, i) => ({ ...row, label: i % 2 })),
    )
    writeRows(
      at('numbers.jsonl'),
      some.map((row, i) => ({ ...row, label: i / 10 })),
    )
    writeRows(
      at('tags.jsonl'),
      some.map(({ text }) => ({
        tokens: text.split(' '),
        labels: text.split(' ').map((word) => (word === 'rome' ? 'B-LOC' : 'O')),
      })),
    )
    for (const [name, options] of adapters) await run({ model, data, output: at('runs', name), ...options })
  }, 120_000)

  it('share a batch but for those that cannot', async () => {
    const settings = {
      model,
      adapter: named([...adapters.keys()]),
      engine: 'reference',
      threads: 'auto',
      dtype: 'auto',
    } as const
    const { seats, engine } = await openReader({ ...settings, batchSize: 8, maxLength: 64 }, 'labels', () => undefined)
    await engine.dispose()
    const apart = seats.flatMap((seat) => (needsOwnBatch(seat) ? [seat.name] : []))
    expect(apart).toEqual(['dora', 'words'])
  })

  it.each(engines)(
    'answer each row as alone, on %s',
    async (engine) => {
      const names = [...adapters.keys()]
      const rows = some.flatMap(({ text }, i) => {
        const adapter = names[i % names.length]
        return adapter
          ? [
              { text, adapter },
              { text, adapter: names[(i * 5 + 2) % names.length] ?? adapter },
            ]
          : []
      })
      const together = await classify({ model, adapter: named(names), engine, rows, batchSize: 7 })
      for (const name of names) {
        const own = rows.flatMap((row, i) => (row.adapter === name ? [i] : []))
        expect(own.length).toBeGreaterThan(1)
        const alone = await classify({
          model,
          adapter: at('runs', name),
          engine,
          rows: own.map((i) => rows[i]?.text ?? ''),
        })
        alone.forEach((result, i) => {
          const shared = together[own[i] ?? 0] ?? {}
          expect(Object.keys(shared)).toEqual(Object.keys(result))
          expect(shared.label).toBe(result.label)
          expectClose(inOrder(shared), inOrder(result))
          if (result.value !== undefined) expectClose([shared.value ?? Number.NaN], [result.value])
          expectClose(shared.words?.map(({ score }) => score) ?? [], result.words?.map(({ score }) => score) ?? [])
          expect(shared.words?.map(({ label }) => label)).toEqual(result.words?.map(({ label }) => label))
        })
      }
      // Different adapters say different things: the test would see a mixture.
      const first = await classify({
        ...{ model, adapter: named(names), engine },
        rows: names.map((adapter) => ({ text: some[0]?.text ?? '', adapter })),
      })
      const said = first.map((result) => JSON.stringify(Object.values(result.scores ?? result)))
      expect(new Set(said).size).toBe(names.length)
    },
    60_000,
  )

  it('are asked for by name', async () => {
    const ask = (row: object, adapter = named(['houlsby', 'pfeiffer'])): Promise<unknown> =>
      classify({ model, adapter, rows: [{ text: 'a' }, { text: 'b', ...row }].slice(1) })
    await expect(ask({ adapter: 'houlsbi' })).rejects.toMatchObject({
      ...{ code: 'usage', field: 'adapter', file: 'rows:1', suggestion: 'houlsby' },
    })
    await expect(ask({})).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('names no adapter') })
    await expect(ask({ adapter: 3 })).rejects.toMatchObject({ code: 'data', field: 'adapter' })
    await expect(ask({}, [...named(['head']), ...named(['head'])])).rejects.toMatchObject({ code: 'usage' })
    const classifier = await openClassifier({ model, adapter: named(['two', 'houlsby']) })
    expect(classifier.labels).toEqual({ two: ['0', '1'], houlsby: ['no', 'well', 'yes'] })
    const [mine, other] = await classifier.classify(['a b', { text: 'a b', adapter: 'two' }], {
      adapter: 'houlsby',
      topK: 2,
    })
    expect(Object.keys(mine?.scores ?? {})).toHaveLength(2)
    expect(Object.keys(other?.scores ?? {})).toEqual(expect.arrayContaining(['0', '1']))
    expect(await classifier.classify([])).toEqual([])
    await classifier.dispose()
  })

  it('sits where a batch shares what it changes: DeBERTa’s relative positions', async () => {
    const deberta = at('deberta')
    cpSync(golden('deberta-v2', 'model'), deberta, { recursive: true })
    withTokenizer(deberta)
    const data = writeRows(
      at('ids.jsonl'),
      some.map((_, i) => ({ input_ids: [2, 5 + i, 9, 3], label: i % 3 })),
    )
    await run({ model: deberta, data, output: at('d1'), rank: 2, targets: ['query_proj', 'value_proj'] })
    await run({ model: deberta, data, output: at('d2'), rank: 2, targets: ['value_proj'], seed: 5 })
    await run({ model: deberta, data, output: at('d3'), method: 'ln-tuning' })
    await run({ model: deberta, data, output: at('d4'), method: 'pfeiffer', bottleneck: 4, seed: 7 })
    const adapter = ['d1', 'd2', 'd3', 'd4'].map((name) => ({ name, path: at(name) }))
    const rows = Array.from({ length: 12 }, (_, i) => ({ input_ids: [2, 5 + i, 7, 3], adapter: `d${1 + (i % 4)}` }))
    const together = await classify({ model: deberta, adapter, rows })
    for (const { name, path } of adapter) {
      const own = rows.flatMap((row, i) => (row.adapter === name ? [i] : []))
      const alone = await classify({
        ...{ model: deberta, adapter: path },
        rows: own.map((i) => ({ input_ids: rows[i]?.input_ids ?? [] })),
      })
      for (const [i, result] of alone.entries()) expectClose(inOrder(together[own[i] ?? 0] ?? {}), inOrder(result))
    }
  }, 60_000)
})

describe('rows', () => {
  it('of a file: in its order, whatever its kind and other fields; a label is left alone', async () => {
    const model = withTokenizer(at('bert'))
    const adapter = at('runs', 'houlsby')
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
    const options = { model: at('bert'), adapter: at('runs', 'two') }
    const refused = (rows: object[]) => expect(classify({ ...options, rows: rows.map((row) => ({ ...row })) })).rejects
    await refused([{ texts: 'a' }]).toMatchObject({
      ...{ code: 'data', file: 'rows:1', field: 'text', suggestion: 'did you mean text?' },
    })
    await refused([{ text: 'a' }, { text: 5 }]).toMatchObject({ code: 'data', file: 'rows:2', field: 'text' })
    await refused([{ text: 'a', text_pair: 'b' }, { text: 'a' }]).toMatchObject({ file: 'rows:2', field: 'text_pair' })
    await refused([{ text: 'a', text_pair: '' }]).toMatchObject({ field: 'text_pair' })
    await refused([{ tokens: ['a'] }]).toMatchObject({ field: 'tokens' })
    await refused([{ input_ids: [2, 9999, 3] }]).toMatchObject({ field: 'input_ids' })
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
