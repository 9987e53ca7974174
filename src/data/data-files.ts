/**
 * @file What `--data` names: files, or a folder with train, valid and test files.
 * Must not know rows. Refuses kinds of files that are not read yet, by name.
 */
import { readdir } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { LowrankError } from '../support/errors.ts'
import { fileError, pathKind } from '../support/files.ts'

/** Files by what they are for; a folder may lack any but `train`. */
export interface DataFiles {
  train: string[]
  valid: string[]
  test: string[]
}

const PARTS: Readonly<Record<keyof DataFiles, readonly string[]>> = {
  train: ['train'],
  valid: ['valid', 'validation', 'eval', 'dev'],
  test: ['test'],
}
const READ = ['.jsonl', '.json', '.ndjson']
const LATER = ['.csv', '.tsv', '.parquet', '.arrow', '.txt']

/**
 * Sorts paths into parts: a file is for training, a folder holds a file a part.
 * @throws LowrankError `missing` for a path that is not there, `unsupported` for a kind of file that is not read yet
 */
export async function dataFiles(paths: readonly string[]): Promise<DataFiles> {
  const files: DataFiles = { train: [], valid: [], test: [] }
  for (const path of paths) {
    const kind = await pathKind(path)
    if (kind === undefined) throw new LowrankError('missing', `there is no data at ${path}`, { file: path })
    if (kind === 'file') files.train.push(readable(path))
    else await addFolder(path, files)
  }
  return files
}

async function addFolder(folder: string, files: DataFiles): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError(error, folder, 'read')
  })
  for (const part of ['train', 'valid', 'test'] as const) {
    const name = [...READ, ...LATER]
      .flatMap((ext) => PARTS[part].map((stem) => `${stem}${ext}`))
      .find((n) => names.includes(n))
    if (name !== undefined) files[part].push(readable(join(folder, name)))
    else if (part === 'train')
      throw new LowrankError('missing', `the folder ${folder} has no train.jsonl or train.json`, {
        file: folder,
        suggestion: names.length === 0 ? 'it is empty' : `it has ${names.sort().slice(0, 8).join(', ')}`,
      })
  }
}

/** The path, where its kind is read. */
function readable(path: string): string {
  const extension = extname(path).toLowerCase()
  if (!LATER.includes(extension)) return path
  throw new LowrankError(
    'unsupported',
    `${path}: ${extension} files are not read yet; lowrank reads .jsonl and .json`,
    {
      file: path,
    },
  )
}
