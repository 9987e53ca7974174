/** @file The rows a run trains and evaluates on, read, checked and put in order. Must not know engines or adapters. */
import { createHash } from 'node:crypto'
import { Batches, type DataCursor } from '../../data/batches.ts'
import { dataFiles } from '../../data/data-files.ts'
import { type DataReport, dataReport } from '../../data/data-report.ts'
import { type Dataset, splitDataset } from '../../data/dataset.ts'
import type { HeadFacts } from '../../data/label-plan.ts'
import { type LoadedDataset, loadDataset, rowWarnings } from '../../data/load-dataset.ts'
import { type Masking, maskingOf } from '../../data/masking.ts'
import type { RowFormat } from '../../data/row-format.ts'
import type { HeadSpec } from '../../formats/task.ts'
import type { Model } from '../../models/model.ts'
import { LowrankError } from '../../support/errors.ts'
import { pathKind } from '../../support/files.ts'
import type { Tokenizer } from '../../text/tokenizer.ts'
import { labelsAtOf } from '../../train/objectives.ts'
import { openTokenizer } from '../open-for-use.ts'
import { rowColumnNames } from '../row-columns.ts'
import { tokenizerDoubts } from '../tokenizer-doubts.ts'
import type { TrainSettings } from './settings.ts'

export interface Material {
  readonly train: Dataset
  readonly held: Dataset | undefined
  /** Rows that the result is measured on. */
  readonly test: Dataset | undefined
  /** Hash of the training rows: a run goes on only with the same ones. */
  readonly hash: string
  readonly tokenizer: Tokenizer | undefined
  /** What the rows train, and the labels they have. */
  readonly head: HeadSpec
  /** How tokens are masked, where that is what they train. */
  readonly masking?: Masking | undefined
  /** What the rows are and what they cost. */
  readonly report: DataReport
  readonly notes: readonly string[]
}

/** @throws LowrankError `data` naming file and line, `missing` for files that are not there. */
export async function loadMaterial(
  settings: TrainSettings,
  folder: string,
  model: Model,
  facts: HeadFacts,
  signal?: AbortSignal,
): Promise<Material> {
  // Rows of ids need no tokenizer, so a folder without one is no error yet.
  const tokenizer = await openTokenizer(settings.tokenizer, folder)
  const load = async (sources: string[], head: HeadFacts): Promise<LoadedDataset> =>
    await loadDataset({
      sources,
      tokenizer,
      head,
      tokenTypes: model.tokenTypes,
      vocabSize: model.config.vocabSize,
      maxLength: settings.maxLength,
      modelMaxLength: model.config.maxPositions,
      trainOn: settings.trainOn,
      skipBadRows: settings.skipBadRows,
      columns: rowColumnNames(settings.columns),
      signal,
    })
  const files = await dataFiles(settings.data ?? [])
  if (files.train.length === 0)
    throw new LowrankError('missing', `${settings.data}: there is no train file (train.jsonl)`, {
      file: settings.data?.[0],
    })
  const { dataset, report, head } = await load(files.train, facts)
  const evalFiles = settings.evalData ? await evaluationFiles(settings.evalData) : files.valid
  const split =
    settings.evalSplit === undefined
      ? undefined
      : splitDataset(dataset, settings.evalSplit, settings.splitSeed ?? settings.dataSeed ?? settings.seed)
  const train = split?.train ?? dataset
  const besides = async (paths: string[], option: string): Promise<Dataset> => {
    const loaded = await load(paths, { ...facts, ...head, settled: true })
    refuseOtherShape(report.format, loaded.report.format, paths[0], option)
    return loaded.dataset
  }
  const held = split?.held ?? (evalFiles.length > 0 ? await besides(evalFiles, 'eval-data') : undefined)
  const test = settings.testData ? await besides(await testFiles(settings.testData), 'test-data') : undefined
  if (settings.keepBest && settings.recipe === undefined && held === undefined)
    throw new LowrankError('usage', '--keep-best chooses by rows held out, and there are none', {
      ...{ field: 'keep-best', suggestion: 'give --eval-data or --eval-split' },
    })
  const { batchSize, gradAccumulation, maxLength, packing, shuffle } = settings
  const seed = settings.dataSeed ?? settings.seed
  const batching = { batchSize, gradAccumulation, maxLength, packing, shuffle, seed }
  return {
    train,
    held,
    test,
    hash: hashOf(train),
    tokenizer,
    head,
    masking: head.task === 'masked-lm' ? maskingOf(tokenizer, model.config.vocabSize, seed) : undefined,
    report: dataReport(train, report, {
      ...{ ...batching, tokenizer, held, test, head, labelsAt: labelsAtOf(head) },
    }),
    notes: [...tokenizerDoubts(tokenizer, model, report.format), ...rowWarnings(report)],
  }
}

/** One text and two are other questions. @throws LowrankError `data` */
function refuseOtherShape(trained: RowFormat, found: RowFormat, file: string | undefined, option: string): void {
  const shapes = new Map([
    ['classification', 'one text'],
    ['pair-classification', 'two texts'],
  ])
  const [is, were] = [shapes.get(found), shapes.get(trained)]
  if (is === undefined || were === undefined || is === were) return
  throw new LowrankError('data', `${file}: its rows have ${is}, and those that are trained on have ${were}`, {
    ...{ file, field: option },
  })
}

async function evaluationFiles(paths: readonly string[]): Promise<string[]> {
  const { train, valid } = await dataFiles(paths)
  return valid.length > 0 ? valid : train
}

/** Files as they are; of a folder its test files. @throws LowrankError `missing` for a folder without one */
async function testFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for (const path of paths) {
    const { test, train } = await dataFiles([path])
    const found = (await pathKind(path)) === 'folder' ? test : train
    if (found.length === 0)
      throw new LowrankError('missing', `the folder ${path} has no test file (test.jsonl, test.csv, test.parquet …)`, {
        ...{ file: path, field: 'test-data' },
      })
    files.push(...found)
  }
  return files
}

/** `file:line` of the row at a place in the data. */
export function sourceOf(data: Dataset, place: number): string | undefined {
  for (const example of data) if (example.place === place) return example.source
  return undefined
}

/** Batches in training order, from a cursor on. */
export function trainingBatches(
  settings: TrainSettings,
  { train, head, masking }: Pick<Material, 'train' | 'head' | 'masking'>,
  cursor?: DataCursor,
): Batches {
  const { batchSize, gradAccumulation, shuffle, packing, maxLength } = settings
  const options = {
    batchSize,
    gradAccumulation,
    order: shuffle ? 'shuffle' : 'file',
    seed: settings.dataSeed ?? settings.seed,
    packInto: packing ? maxLength : undefined,
    labelsAt: labelsAtOf(head),
    masking,
  } as const
  return new Batches(train, options, cursor)
}

export function evaluationBatches(
  settings: TrainSettings,
  { head, masking }: Pick<Material, 'head' | 'masking'>,
  held: Dataset,
): Batches {
  return new Batches(held, { batchSize: settings.batchSize, order: 'length', labelsAt: labelsAtOf(head), masking })
}

function hashOf(data: Dataset): string {
  const hash = createHash('sha256')
  const bytes = (array: Int32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
  for (const { ids, labels, place, types, target } of data) {
    hash.update(`${place}:${ids.length};`)
    hash.update(bytes(ids))
    hash.update(bytes(labels))
    if (types) hash.update(types)
    if (target !== undefined) hash.update(`${target};`)
  }
  return hash.digest('hex')
}
