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

it('names what is missing or not read yet', async () => {
  const other = await make('other', 'data.jsonl')
  const csv = await make('csv', 'train.csv')
  await expect(dataFiles([other])).rejects.toMatchObject({
    code: 'missing',
    file: other,
    suggestion: 'it has data.jsonl',
  })
  await expect(dataFiles([csv])).rejects.toMatchObject({ code: 'unsupported', file: join(csv, 'train.csv') })
  await expect(dataFiles([join(csv, 'train.csv')])).rejects.toThrow(/\.csv files are not read yet/)
  await expect(dataFiles([join(folder, 'none')])).rejects.toMatchObject({ code: 'missing' })
})
