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
const READ = ['.jsonl', '.json', '.ndjson', '.csv', '.tsv', '.parquet']
/** Kinds of files that people have, and what to do with them. */
const OTHERS: Readonly<Record<string, string>> = {
  '.arrow': 'write it as Parquet',
  '.txt': 'write its rows as JSONL: {"text": "…"} a line',
  '.xlsx': 'save it as CSV',
  '.gz': 'unpack it',
  '.zip': 'unpack it',
  '.zst': 'unpack it',
  '.xz': 'unpack it',
  '.bz2': 'unpack it',
}

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
    const found = partFiles(part, names)
    if (found.length > 0) files[part].push(...found.map((name) => readable(join(folder, name))))
    else if (part === 'train')
      throw new LowrankError(
        'missing',
        `the folder ${folder} has no train file (train.jsonl, train.csv, train.parquet …)`,
        {
          file: folder,
          suggestion: names.length === 0 ? 'it is empty' : `it has ${names.sort().slice(0, 8).join(', ')}`,
        },
      )
  }
}

/**
 * Names of a part's files: `train.jsonl` (mlx-lm), or the shards of a Hugging Face data set
 * (`train-00000-of-00002.parquet`), of the first kind and stem that is there.
 */
function partFiles(part: keyof DataFiles, names: readonly string[]): string[] {
  for (const extension of [...READ, ...Object.keys(OTHERS)])
    for (const stem of PARTS[part]) {
      if (names.includes(`${stem}${extension}`)) return [`${stem}${extension}`]
      const shards = names.filter((name) => name.endsWith(extension) && name.startsWith(`${stem}-`))
      const parts = shards.filter((name) => /^-\d+-of-\d+$/.test(name.slice(stem.length, -extension.length)))
      if (parts.length > 0) return parts.sort()
    }
  return []
}

/** The path, where its kind is read. */
function readable(path: string): string {
  const extension = extname(path).toLowerCase()
  const suggestion = OTHERS[extension]
  if (suggestion === undefined) return path
  const message = `${path}: ${extension} files are not read; lowrank reads ${READ.join(', ')}`
  throw new LowrankError('unsupported', message, { file: path, suggestion })
}
