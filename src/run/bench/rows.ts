/**
 * @file Rows of a dataset that both sides of `bench` train on: chosen at random, encoded once, in a file that Python reads
 * too. Must not know engines.
 */
import { dataFiles } from '../../data/data-files.ts'
import type { Dataset } from '../../data/dataset.ts'
import { loadDataset } from '../../data/load-dataset.ts'
import type { HeadSpec } from '../../formats/task.ts'
import { writeFileAtomic } from '../../support/atomic-write.ts'
import { LowrankError } from '../../support/errors.ts'
import { readJson } from '../../support/files.ts'
import { RandomStream } from '../../support/random.ts'
import { headFacts } from '../head-facts.ts'
import { openTokenizer } from '../open-for-use.ts'
import type { OpenModel } from '../open-model.ts'

export interface RowSettings {
  readonly data: readonly string[]
  readonly tokenizer?: string | undefined
  readonly maxLength: number
  readonly trainOn: 'completion' | 'all'
}

/** A row as both sides read it: labels are −100 where there is no loss; that of a whole text stands at its first token. */
export interface EncodedRow {
  readonly ids: readonly number[]
  readonly labels: readonly number[]
  /** Which text of a pair each token is of; absent where all are of the first. */
  readonly types?: readonly number[]
}

/**
 * Encodes the data and writes `count` rows of it, drawn without replacement, to `file`.
 * @param base the model, with the head that its config means
 * @returns their number, and what they train
 */
export async function writeRows(
  file: string,
  count: number,
  settings: RowSettings,
  base: Pick<OpenModel, 'model' | 'fresh' | 'folder'>,
  signal?: AbortSignal,
): Promise<{ written: number; head: HeadSpec }> {
  const { train } = await dataFiles([...settings.data])
  const { config, spec, tokenTypes } = base.model
  const { dataset, head } = await loadDataset({
    sources: train,
    tokenizer: await openTokenizer(settings.tokenizer, base.folder),
    ...(spec.task === 'causal-lm' ? {} : { head: headFacts(base, 'classification') }),
    tokenTypes,
    vocabSize: config.vocabSize,
    maxLength: settings.maxLength,
    modelMaxLength: config.maxPositions,
    trainOn: settings.trainOn,
    signal,
  })
  if (spec.task !== 'causal-lm' && head.task !== 'classification')
    throw new LowrankError('data', `${train[0]}: bench measures an encoder on rows of {"text", "label"}`, {
      ...(train[0] === undefined ? {} : { file: train[0] }),
      field: 'data',
    })
  const rows = drawn(dataset, count)
  await writeFileAtomic(file, JSON.stringify(rows))
  return { written: rows.length, head }
}

function drawn(data: Dataset, count: number): EncodedRow[] {
  const order = new RandomStream(0, 'bench/rows').permutation(data.length).subarray(0, count)
  return [...data.select(order)].map(({ ids, labels, types }) => ({
    ids: [...ids],
    labels: [...labels],
    ...(types ? { types: [...types] } : {}),
  }))
}

export async function readRows(file: string): Promise<EncodedRow[]> {
  const rows = await readJson(file)
  if (!Array.isArray(rows)) throw new LowrankError('format', `${file} holds no rows`, { file })
  return rows as EncodedRow[]
}
