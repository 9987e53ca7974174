import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { dataFiles } from './data-files.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-files-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function make(name: string, ...files: string[]): Promise<string> {
  const path = join(folder, name)
  await mkdir(path)
  for (const file of files) await writeFile(join(path, file), '')
  return path
}

it('takes files as training data and folders by their parts', async () => {
  const both = await make('both', 'train.jsonl', 'validation.jsonl', 'test.json', 'notes.md')
  const only = await make('only', 'train.json')
  const file = join(both, 'test.json')
  expect(await dataFiles([file, both, only])).toEqual({
    train: [file, join(both, 'train.jsonl'), join(only, 'train.json')],
    valid: [join(both, 'validation.jsonl')],
    test: [file],
  })
})

it('takes the shards of a Hugging Face data set, and one kind of file a part', async () => {
  const shards = await make(
    'shards',
    'train-00001-of-00002.parquet',
    'train-00000-of-00002.parquet',
    'validation-00000-of-00001.parquet',
    'train-notes.parquet',
  )
  const tables = await make('tables', 'train.csv', 'dev.tsv', 'train.parquet')
  expect(await dataFiles([shards, tables])).toEqual({
    train: [
      join(shards, 'train-00000-of-00002.parquet'),
      join(shards, 'train-00001-of-00002.parquet'),
      join(tables, 'train.csv'),
    ],
    valid: [join(shards, 'validation-00000-of-00001.parquet'), join(tables, 'dev.tsv')],
    test: [],
  })
})

it('names what is missing or not read', async () => {
  const other = await make('other', 'data.jsonl')
  const text = await make('text', 'train.txt')
  await expect(dataFiles([other])).rejects.toMatchObject({
    code: 'missing',
    file: other,
    suggestion: 'it has data.jsonl',
  })
  await expect(dataFiles([text])).rejects.toMatchObject({ code: 'unsupported', file: join(text, 'train.txt') })
  await expect(dataFiles([join(text, 'train.txt')])).rejects.toThrow(/\.txt files are not read; lowrank reads \.jsonl/)
  await expect(dataFiles([join(folder, 'none')])).rejects.toMatchObject({ code: 'missing' })
})
