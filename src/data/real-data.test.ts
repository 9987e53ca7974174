/** @file Real data sets: as many rows as Python's json and csv modules read in them (counted once, written here). */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { sharedPath } from '../../test/setup/shared.ts'
import { tinyTokenizer } from '../../test/setup/tiny-tokenizer.ts'
import { LowrankError } from '../support/errors.ts'
import { dataFiles } from './data-files.ts'
import { NO_LABEL } from './example.ts'
import { loadDataset } from './load-dataset.ts'
import { type RowSource, readRows } from './rows.ts'

const root = sharedPath('data/datasets')
const at = (path: string): string => `${root}/${path}`
const template = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../test/goldens/text/templates/${name}.jinja`, import.meta.url)), 'utf8')
const bare = tinyTokenizer()
const chat = tinyTokenizer({ chatTemplate: template('trl-qwen2_5') })
const load = (sources: readonly RowSource[], tokenizer = bare) =>
  loadDataset({ sources, tokenizer, vocabSize: 263, maxLength: 1e6, trainOn: 'completion' })

describe.skipIf(root === undefined)('real data', () => {
  it.each([
    ['llamafactory-demo/alpaca_en_demo.json', 'alpaca', 999],
    ['llamafactory-demo/identity.json', 'alpaca', 91],
    ['llamafactory-demo/c4_demo.jsonl', 'text', 300],
    ['wikisql/train.jsonl', 'text', 1000],
    ['wwdc25/all.jsonl', 'prompt-completion', 1944],
  ])('%s without a template', async (path, format, rows) => {
    const { report, dataset } = await load([at(path)])
    expect(report).toMatchObject({ format, rows, skipped: 0, unlabelled: 0, cut: 0 })
    expect(dataset.length).toBe(rows)
  })

  it.each([
    ['alpaca_en_demo.json', 'alpaca', 999],
    ['glaive_toolcall_en_demo.json', 'sharegpt', 300],
    ['v1_sft_demo.jsonl', 'messages', 500],
  ])('%s through a chat template', async (path, format, rows) => {
    const { report } = await load([at(`llamafactory-demo/${path}`)], chat)
    expect(report).toMatchObject({ format, rows, skipped: 0, unlabelled: 0 })
    expect(report.labelled).toBeLessThan(report.tokens)
  })

  it('learns the turns and calls of the assistant, and nothing else', async () => {
    const { dataset } = await load([at('llamafactory-demo/glaive_toolcall_en_demo.json')], chat)
    const { ids, labels } = dataset.example(0)
    const learned = chat.decode(
      labels.filter((label) => label !== NO_LABEL),
      { skipSpecialTokens: false },
    )
    const read = chat.decode(ids, { skipSpecialTokens: false })
    const row: { conversations: { from: string; value: string }[] } = JSON.parse(
      readFileSync(at('llamafactory-demo/glaive_toolcall_en_demo.json'), 'utf8'),
    )[0]
    for (const { from, value } of row.conversations) {
      expect(read).toContain(from === 'function_call' ? '<tool_call>' : value)
      if (from === 'gpt') expect(learned).toContain(`${value}<|im_end|>`)
      else if (from !== 'function_call') expect(learned).not.toContain(value)
    }
    expect(learned).toMatch(/<tool_call>\n\{"name": "search_recipes", "arguments": \{"ingredients": \["chicken"/)
  })

  it.each(['dpo_en_demo.json', 'kto_en_demo.json'])('%s is refused by name', async (path) => {
    await expect(load([at(`llamafactory-demo/${path}`)])).rejects.toThrow(/this is a preference row/)
  })

  it.each([
    ['train', 67349, 37569],
    ['dev', 872, 444],
    ['test', 1821, 909],
  ])('sst2/%s.tsv has its rows, and labels that are numbers', async (name, rows, positive) => {
    let [count, ones] = [0, 0]
    for await (const { value } of readRows([at(`sst2/${name}.tsv`)])) {
      if (value instanceof LowrankError) throw value
      count++
      if (value.label === 1) ones++
      else expect(value.label).toBe(0)
    }
    expect([count, ones]).toEqual([rows, positive])
  })

  it('folders and several files', async () => {
    const files = await dataFiles([at('wikisql'), at('wwdc25')])
    expect(Object.values(files).map((part) => part.length)).toEqual([2, 2, 1])
    expect((await load([at('wwdc25/train.jsonl'), at('wwdc25/valid.jsonl')])).report.rows).toBe(1944)
    await expect(load([at('wwdc25/valid.jsonl'), at('wikisql/valid.jsonl')])).rejects.toThrow(
      /wikisql\/valid\.jsonl:1: the row is of kind text, and those before it are of kind prompt-completion/,
    )
  })

  it('rows that a program makes of other formats', async () => {
    const lines = readFileSync(at('e2e/e2e_valid.txt'), 'utf8').trimEnd().split('\n')
    const rows = lines.map((line) => ({ prompt: line.split('||')[0], completion: line.split('||')[1] }))
    expect((await load([rows])).report).toMatchObject({ format: 'prompt-completion', rows: 4672 })
  })
})
