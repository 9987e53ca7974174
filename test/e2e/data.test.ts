/** @file Rows of every kind of file through the command line, the report on them, and files that are broken. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { dryRun } from '../../src/index.ts'
import { repositoryRoot } from '../setup/doc-example.ts'
import { runCli } from '../setup/run-cli.ts'
import { writeTinyModel } from '../setup/tiny-model.ts'
import { idRows, labFolder, refuse, rowsFile, succeed } from './lab.ts'

const lab = labFolder()
const at = (...parts: string[]): string => join(lab, ...parts)
const fixture = (name: string): string => join(repositoryRoot, 'test/goldens/data', name)

beforeAll(() => writeTinyModel(at('model')))

const train = (data: string, ...more: string[]): string[] => ['train', '--model', at('model'), '--data', data, ...more]

describe('a run', () => {
  it('on Parquet shards of a folder tells the rows, evaluates on the others, and keeps the report', async () => {
    mkdirSync(at('shards'))
    cpSync(fixture('ids.parquet'), at('shards', 'train-00000-of-00002.parquet'))
    cpSync(fixture('ids-delta.parquet'), at('shards', 'train-00001-of-00002.parquet'))
    cpSync(fixture('ids.parquet'), at('shards', 'validation-00000-of-00001.parquet'))
    const output = at('parquet')
    const { events, result } = await succeed(train(at('shards'), '--output', output, '--steps', '2', '--samples', '0'))
    const data = events.find((event) => event.type === 'data')?.report
    expect(data).toMatchObject({
      format: 'input_ids',
      rows: 24,
      tokens: 72,
      heldRows: 12,
      cut: 0,
      batching: 'bucketed',
    })
    expect(result.evalLoss).toBeGreaterThan(0)
    const page = readFileSync(join(output, 'report.html'), 'utf8')
    expect(page).toContain('<h2>Rows</h2>')
    expect(page).toMatch(/<pre>[^<]*<mark>[^<]+<\/mark><\/pre>/)
  })

  it('on CSV with other names for its columns', async () => {
    writeFileSync(at('named.csv'), 'id,question,answer\n1,two hats," 2"\n2,"a, b",c\n')
    const columns = ['--columns', 'prompt=question,completion=answer']
    const { events } = await succeed(
      train(at('named.csv'), '--output', at('csv'), '--steps', '1', '--samples', '0', ...columns),
    )
    expect(events.find((event) => event.type === 'data')?.report).toMatchObject({
      format: 'prompt-completion',
      rows: 2,
    })
    const { result } = await succeed(['eval', '--adapter', at('csv'), '--data', at('named.csv'), ...columns])
    expect(result).toMatchObject({ examples: 2 })
    await refuse(train(at('named.csv'), '--columns', 'prompt=qestion,completion=answer', '--output', at('none')), {
      ...{
        exit: 1,
        code: 'data',
        says: [/named\.csv:2: there is no column qestion/, /question/],
        untouched: at('none'),
      },
    })
  })
})

describe('--dry-run', () => {
  it('tells what a run would do and writes nothing', async () => {
    const file = rowsFile(
      lab,
      [
        { prompt: 'two hats', completion: ' 2' },
        { prompt: 'a', completion: 'bcd' },
      ],
      'pairs.jsonl',
    )
    const before = readdirSync(lab)
    const { code, stdout } = await runCli(train(file, '--output', at('never'), '--dry-run'), { cwd: lab })
    expect(code).toBe(0)
    expect(stdout).toMatch(/lora would train .* parameters/)
    expect(stdout).toMatch(/in 3 steps and write .*never; nothing was written/)
    expect(stdout).toMatch(/rows +2 prompt-completion rows, \d+ tokens, \d+ of them with loss/)
    expect(stdout).toMatch(/first row .*pairs\.jsonl:1; what stands in ⟦ ⟧ carries loss\n +.*two hats⟦ 2.*⟧/)
    const { result } = await succeed(train(file, '--output', at('never'), '--dry-run'))
    expect(result).toMatchObject({ dryRun: true, method: 'lora', totalSteps: 3, data: { rows: 2 } })
    expect(readdirSync(lab)).toEqual(before)
    expect(existsSync(at('never'))).toBe(false)
    const own = await dryRun({ model: at('model'), data: file, output: at('never') })
    expect(own).toEqual(result)
  })

  it('refuses what a run would refuse', async () => {
    const file = rowsFile(lab, idRows(3), 'ids.jsonl')
    await refuse(train(file, '--dry-run', '--targets', 'nothing_like_it'), { exit: 1, says: /nothing_like_it/ })
    await refuse(train(at('gone.jsonl'), '--dry-run'), { exit: 1, code: 'missing', says: /gone\.jsonl/ })
  })
})

describe('files that are broken', () => {
  const whole = readFileSync(fixture('ids.parquet'))
  const cases: [name: string, file: string, bytes: string | Uint8Array, says: RegExp | RegExp[]][] = [
    [
      'Parquet cut off',
      'cut.parquet',
      whole.subarray(0, -20),
      /cut\.parquet is no Parquet file .*is the file complete/,
    ],
    ['Parquet that is JSON', 'json.parquet', '{"text":"a"}\n{"text":"b"}\n', /does not begin as one/],
    ['an empty Parquet file', 'empty.parquet', '', /it is empty/],
    ['an unclosed quote', 'quote.csv', 'text\n"abc\n', [/quote\.csv:2/, /a quote that is not closed/]],
    [
      'a ragged row',
      'ragged.csv',
      'prompt,completion\na,b\nc\n',
      /ragged\.csv:3: the row has 1 fields, and the header names 2/,
    ],
    ['UTF-16', 'wide.tsv', Buffer.from('\uFEFFtext\na\n', 'utf16le'), /wide\.tsv is UTF-16 text/],
    ['an empty CSV file', 'empty.csv', '', /there are no rows/],
    ['a header alone', 'header.csv', 'text\n', /there are no rows/],
    [
      'columns that make no row',
      'other.csv',
      'txt,x\na,b\n',
      [/other\.csv:2: fields txt, x make no row/, /did you mean text/],
    ],
  ]
  it.each(cases)('%s', async (_name, file, bytes, says) => {
    writeFileSync(at(file), bytes)
    await refuse(train(at(file), '--output', at('none')), { exit: 1, says, untouched: at('none') })
  })

  it('kinds that are not read, folders without a train file, and files of different rows', async () => {
    await refuse(train(fixture('prompts-lz4.parquet')), { exit: 1, code: 'unsupported', says: /compressed with LZ4/ })
    writeFileSync(at('a.txt'), 'x')
    await refuse(train(at('a.txt')), { exit: 1, code: 'unsupported', says: /\.txt files are not read/ })
    mkdirSync(at('bare'))
    await refuse(train(at('bare')), { exit: 1, code: 'missing', says: [/has no train file/, /it is empty/] })
    writeFileSync(at('t.csv'), 'text\nabc\n')
    rowsFile(lab, idRows(2), 'i.jsonl')
    await refuse(train(at('t.csv'), '--data', at('i.jsonl')), {
      exit: 1,
      code: 'data',
      says: /i\.jsonl:1: the row is of kind input_ids/,
    })
  })

  it('are counted with --skip-bad-rows', async () => {
    writeFileSync(at('some.csv'), 'prompt,completion\na,b\nc\nd,e\n')
    const { result, events } = await succeed(train(at('some.csv'), '--dry-run', '--skip-bad-rows'))
    expect(result.data).toMatchObject({ rows: 2, skipped: 1 })
    expect(JSON.stringify(events)).toMatch(/1 bad rows were skipped: .*some\.csv:3/)
  })
})
