/**
 * @file Rows and models of classifiers that do not fit: one error with file, line and what would, before anything is
 * written; and what is said aloud where a run goes on.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TrainOptions, train } from '../../src/run/train.ts'
import { type Json, tinyBert, writeJson, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { tinyWordpieceFiles } from '../setup/tiny-wordpiece.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-bad-labels-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)
let count = 0

/** 60 tokens, [PAD] 0: what the tokenizer has. */
const bert: Json = { ...tinyBert, vocab_size: 60, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 }
const headOf = (labels: string[]): Json => ({
  architectures: ['BertForSequenceClassification'],
  id2label: Object.fromEntries(labels.map((label, i) => [String(i), label])),
  label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
})

async function model(name: string, config: Json): Promise<string> {
  await writeTinyModel(at(name), config)
  const { tokenizerJson, tokenizerConfig } = tinyWordpieceFiles()
  writeJson(at(name, 'tokenizer.json'), tokenizerJson)
  writeJson(at(name, 'tokenizer_config.json'), tokenizerConfig)
  return at(name)
}

beforeAll(async () => {
  await model('bert', bert)
  await model('three', { ...bert, ...headOf(['neg', 'neutral', 'pos']) })
  await model('number', { ...bert, ...headOf(['LABEL_0']) })
})

const rows = (...labels: unknown[]): Json[] => labels.map((label, i) => ({ text: 'abc'[i % 3], label }))
const file = (all: readonly unknown[], name = `rows-${count++}.jsonl`): string => writeRows(at(name), all)

async function notices(options: TrainOptions): Promise<string[]> {
  const base = { model: at('bert'), output: at(`run-${count++}`), steps: 1, samples: 0, engine: 'reference' } as const
  const found: string[] = []
  for await (const event of train({ ...base, ...options })) if (event.type === 'notice') found.push(event.message)
  return found
}

/** What a run fails with, where its folder is as it was: not there. */
async function failure(options: TrainOptions): Promise<Json> {
  const output = at(`run-${count++}`)
  const error = await notices({ output, ...options }).then(
    () => ({ message: 'it was trained' }),
    (thrown: { code: string; message: string; file?: string; field?: string; suggestion?: string }) => thrown,
  )
  expect(existsSync(output)).toBe(false)
  const { code, message, file: where, field, suggestion } = error as Record<string, string | undefined>
  const plain = (text: string | undefined): string | undefined => text?.replaceAll(`${lab}/`, '')
  return { code, message: plain(message), file: plain(where), field, suggestion: plain(suggestion) }
}

describe('labels', () => {
  it('unseen in training are named with their row, the labels there are, and the nearest', async () => {
    const [data, evalData] = [file(rows('good', 'bad'), 'train.jsonl'), file(rows('bad', 'god'), 'held.jsonl')]
    expect(await failure({ data, evalData })).toEqual({
      code: 'data',
      message: 'held.jsonl:2: label "god" is none that the model tells apart (bad, good)',
      ...{ file: 'held.jsonl:2', field: 'label', suggestion: 'good' },
    })
    const testData = evalData
    expect(await failure({ data, testData })).toMatchObject({ file: 'held.jsonl:2', suggestion: 'good' })
  })

  it('of one kind teach nothing', async () => {
    expect(await failure({ data: file(rows('x', 'x'), 'one.jsonl') })).toEqual({
      code: 'data',
      message: 'every row has the label "x": there is nothing to tell apart',
      ...{ file: 'one.jsonl:1', field: 'label', suggestion: undefined },
    })
  })

  it('are numbers or words, not now this and now that', async () => {
    expect(await failure({ data: file(rows('x', 'y', 3), 'mixed.jsonl') })).toEqual({
      code: 'data',
      message: 'mixed.jsonl:3: label is 3, a number, and those before it are words',
      ...{ file: 'mixed.jsonl:3', field: 'label', suggestion: '--task classification takes every label as a word' },
    })
    const words = file([{ tokens: ['a', 'b'], labels: ['O', 1] }], 'words.jsonl')
    expect(await failure({ data: words })).toEqual({
      code: 'data',
      message: 'words.jsonl:1: label is 1, a number, and those before it are words',
      ...{ file: 'words.jsonl:1', field: 'label' },
      suggestion: '--task token-classification takes every label as a word',
    })
    writeFileSync(at('mixed.csv'), 'text,label\na,1\nb,2\nc,good\n')
    expect(await failure({ data: at('mixed.csv') })).toMatchObject({
      message: 'mixed.csv:4: label is "good", a word, and those before it are numbers',
    })
    expect(await failure({ data: file(rows(1.5, 'high'), 'high.jsonl'), task: 'regression' })).toMatchObject({
      message: 'high.jsonl:2: label is "high"; regression asks for numbers',
    })
  })
})

describe('rows', () => {
  it('of pairs have both texts', async () => {
    const pair = { text: 'a', text_pair: 'b', label: 'x' }
    const cases: [Json[], string, string][] = [
      [[pair, { text: 'a', label: 'y' }], 'text_pair is missing, and the rows before have two texts', 'text_pair'],
      [[pair, { ...pair, text_pair: '' }], 'text_pair is missing: a pair has two texts', 'text_pair'],
      [[pair, { ...pair, text_pair: null }], 'text_pair is missing, and the rows before have two texts', 'text_pair'],
      [[pair, { text_pair: 'b', label: 'y' }], 'text is missing: a pair has two texts', 'text'],
      [[{ text: 'a', label: 'y' }, pair], 'text_pair is there, and missing in the rows before', 'text_pair'],
    ]
    for (const [all, message, field] of cases)
      expect(await failure({ data: file(all, 'pairs.jsonl') })).toEqual({
        ...{ code: 'data', message: `pairs.jsonl:2: ${message}`, file: 'pairs.jsonl:2', field },
        suggestion: undefined,
      })
  })

  it('have one text or two, wherever they come from', async () => {
    const pairs = file(
      [1, 2].map((i) => ({ text: 'a', text_pair: 'b', label: `l${i}` })),
      'two.jsonl',
    )
    const singles = file(rows('l1', 'l2'), 'one.jsonl')
    const message = 'one.jsonl: its rows have one text, and those that are trained on have two texts'
    expect(await failure({ data: pairs, evalData: singles })).toMatchObject({
      code: 'data',
      field: 'eval-data',
      message,
    })
    expect(await failure({ data: singles, testData: pairs })).toMatchObject({
      ...{ field: 'test-data', message: expect.stringMatching(/two.jsonl: its rows have two texts/) },
    })
  })

  it('to choose by are there with --keep-best', async () => {
    expect(await failure({ data: file(rows('x', 'y')), keepBest: true })).toMatchObject({
      ...{ code: 'usage', field: 'keep-best', suggestion: 'give --eval-data or --eval-split' },
    })
  })

  it('longer than the model reads are cut where they are text, and refused where they are ids', async () => {
    const long = [{ text: 'a '.repeat(80), label: 'x' }, ...rows('y')]
    expect(await notices({ data: file(long) })).toContain('1 rows were cut to the maximal length')
    const ids = [{ input_ids: Array.from({ length: 65 }, () => 5), label: 'x' }]
    expect(await failure({ data: file(ids, 'ids.jsonl') })).toEqual({
      code: 'data',
      message: 'ids.jsonl:1: input_ids has 65 tokens and the model reads at most 64; rows of ids are never cut',
      ...{ file: 'ids.jsonl:1', field: 'input_ids', suggestion: undefined },
    })
  })

  it('are there', async () => {
    for (const text of ['', '\n\n', 'text,label\n']) {
      const name = text.startsWith('text') ? 'none.csv' : 'none.jsonl'
      writeFileSync(at(name), text)
      expect(await failure({ data: at(name) })).toMatchObject({ code: 'data', message: `${name}: there are no rows` })
    }
    const data = file(rows('x', 'y'))
    writeFileSync(at('none.jsonl'), '')
    expect(await failure({ data, evalData: at('none.jsonl') })).toMatchObject({
      message: 'none.jsonl: there are no rows',
    })
  })
})

describe('a head of another size', () => {
  it('is told by its labels and those of the rows', async () => {
    expect(await failure({ model: at('three'), data: file(rows('x', 'y')) })).toMatchObject({
      code: 'config',
      message: "the model's head tells 3 labels apart (neg, neutral, pos), the rows have 2: x, y",
      field: 'label',
    })
    expect(await failure({ model: at('number'), data: file(rows('x', 'y')), task: 'classification' })).toMatchObject({
      code: 'config',
      message: "the model's head is for regression with 1 outputs, and the rows are for classification",
    })
    expect(await failure({ model: at('three'), data: file(rows(0.5, 1.5)), task: 'regression' })).toMatchObject({
      code: 'config',
      message: "the model's head is for classification with 3 outputs, and the rows are for regression",
    })
  })

  it('is refused where an adapter goes on with rows of other labels', async () => {
    const output = at('six')
    await notices({ data: file(rows(...'abcdef')), output })
    expect(await failure({ adapter: output, data: file(rows('a', 'z'), 'other.jsonl') })).toMatchObject({
      code: 'data',
      message: 'other.jsonl:2: label "z" is none that the model tells apart (a, b, c, d, e, f)',
    })
  })
})

describe('a tokenizer of another model', () => {
  const data = (): string => file(rows('x', 'y'))

  it('is told by its size and by the tokens that both name', async () => {
    const small = await model('small', { ...bert, vocab_size: 50 })
    expect(await failure({ model: small, data: file([{ text: 'good', label: 1 }], 'beyond.jsonl') })).toMatchObject({
      code: 'data',
      message: expect.stringContaining(
        `"good", a token of small/tokenizer.json, is 57: not in the model's vocabulary of 50`,
      ),
    })
    const saysOf = async (name: string, config: Json): Promise<string[]> =>
      (await notices({ model: await model(name, { ...bert, ...config }), data: data() })).filter((text) =>
        text.includes('another'),
      )
    expect(await saysOf('small', { vocab_size: 50 })).toEqual([
      `${at('small', 'tokenizer.json')} may be another model's: it has 60 tokens, and the model reads 50`,
    ])
    expect(await saysOf('large', { vocab_size: 70, pad_token_id: 1, sep_token_id: 3 })).toEqual([
      `${at('large', 'tokenizer.json')} may be another model's: it has 60 tokens, and the model reads 70; its [PAD] is 0, and the model's pad_token_id is 1`,
    ])
    expect(await saysOf('rounded', { vocab_size: 61 })).toEqual([])
  })

  it('is told by the text it has no pieces of', async () => {
    const words = ['日本', '語の', '文 a'].map((text, i) => ({ text, label: ['x', 'y'][i % 2] }))
    expect(await notices({ data: file(words) })).toContain(
      '42 % of the tokens stand for text the tokenizer has no piece of: is it made for it?',
    )
  })
})
