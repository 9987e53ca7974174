/**
 * @file Rows of a dataset that both sides of `bench` train on: chosen at random, encoded once, in a file that Python reads
 * too. Must not know engines.
 */
import { dataFiles } from '../../data/data-files.ts'
import type { Dataset } from '../../data/dataset.ts'
import { loadDataset } from '../../data/load-dataset.ts'
import type { Model } from '../../models/causal-lm.ts'
import { writeFileAtomic } from '../../support/atomic-write.ts'
import { LowrankError } from '../../support/errors.ts'
import { readJson } from '../../support/files.ts'
import { RandomStream } from '../../support/random.ts'
import { openTokenizer } from '../open-for-use.ts'

export interface RowSettings {
  readonly data: readonly string[]
  readonly tokenizer?: string | undefined
  readonly maxLength: number
  readonly trainOn: 'completion' | 'all'
}

/** A row as both sides read it: labels are −100 where there is no loss. */
export interface EncodedRow {
  readonly ids: readonly number[]
  readonly labels: readonly number[]
}

/** Encodes the data and writes `count` rows of it, drawn without replacement, to `file`. @returns their number */
export async function writeRows(
  file: string,
  count: number,
  settings: RowSettings,
  { config }: Model,
  folder: string,
  signal?: AbortSignal,
): Promise<number> {
  const { train } = await dataFiles([...settings.data])
  const { dataset } = await loadDataset({
    sources: train,
    tokenizer: await openTokenizer(settings.tokenizer, folder),
    vocabSize: config.vocabSize,
    maxLength: settings.maxLength,
    modelMaxLength: config.maxPositions,
    trainOn: settings.trainOn,
    signal,
  })
  const rows = drawn(dataset, count)
  await writeFileAtomic(file, JSON.stringify(rows))
  return rows.length
}

function drawn(data: Dataset, count: number): EncodedRow[] {
  const order = new RandomStream(0, 'bench/rows').permutation(data.length).subarray(0, count)
  return [...data.select(order)].map(({ ids, labels }) => ({ ids: [...ids], labels: [...labels] }))
}

export async function readRows(file: string): Promise<EncodedRow[]> {
  const rows = await readJson(file)
  if (!Array.isArray(rows)) throw new LowrankError('format', `${file} holds no rows`, { file })
  return rows as EncodedRow[]
}
