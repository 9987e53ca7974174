/**
 * @file What a person should know of their rows before training: how many and how long, what is cut, what carries loss,
 * what padding costs, and the first row as the model sees it.
 * Must not know terminals or HTML; it is plain data.
 */
import type { HeadSpec } from '../formats/task.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import type { Dataset } from './dataset.ts'
import { bucketed, fileOrder, shuffled } from './epoch-order.ts'
import { countLabels, type Example, type LabelsAt, NO_LABEL } from './example.ts'
import { labelCounts } from './label-counts.ts'
import type { DatasetReport } from './load-dataset.ts'
import { packDecreasing, packInOrder } from './packing.ts'
import { paddingShare } from './padding.ts'

/** A stretch of a row whose tokens all carry loss, or all do not. */
export interface RowPiece {
  text: string
  labelled: boolean
}

export interface DataReport {
  /** How rows are told: `messages`, `alpaca` … */
  format: string
  /** Rows to train on. */
  rows: number
  tokens: number
  /** Tokens that carry loss, and their share of all. */
  labelled: number
  labelledShare: number
  /** Tokens of a row. */
  lengths: { min: number; median: number; p95: number; max: number; mean: number }
  /** Rows by length: `from` ≤ tokens < `to`. */
  histogram: { from: number; to: number; rows: number }[]
  /** Rows cut to the maximal length, and their share of all. */
  cut: number
  cutShare: number
  /** Rows left out: not fitting (`--skip-bad-rows`), and without a token that carries loss. */
  skipped: number
  unlabelled: number
  /** Share of padding in what a step computes: rows in random order, rows of like length together, rows packed. */
  padding: { random: number; bucketed: number; packed: number }
  /** Which of these the run does; `file`: the order of the file, whose share is `used`. */
  batching: 'bucketed' | 'packed' | 'file'
  used: number
  /** Rows held out to evaluate on. */
  heldRows?: number
  /** Of a classifier: how often each label stands in the rows held out. */
  heldLabels?: Record<string, number>
  /** Rows that the result is measured on, and their labels. */
  testRows?: number
  testLabels?: Record<string, number>
  first: { source: string; pieces: RowPiece[]; tokens: number; shown: number }
}

export interface DataReportOptions {
  readonly tokenizer?: Tokenizer | undefined
  readonly batchSize: number
  readonly gradAccumulation: number
  readonly maxLength: number
  readonly packing: boolean
  readonly shuffle: boolean
  readonly seed: number
  /** Default `next`. */
  readonly labelsAt?: LabelsAt | undefined
  readonly held?: Dataset | undefined
  readonly test?: Dataset | undefined
  /** What the labels of a classifier are; of other tasks they are not counted. */
  readonly head?: HeadSpec | undefined
}

const BINS = 12
/** Tokens of the first row that are shown. */
const SHOWN = 400

/** @param report of the whole data, held-out rows included: what was cut and skipped is known of it alone */
export function dataReport(train: Dataset, report: DatasetReport, options: DataReportOptions): DataReport {
  const lengths = Uint32Array.from({ length: train.length }, (_, i) => train.lengthOf(i))
  const tokens = lengths.reduce((sum, length) => sum + length, 0)
  let labelled = 0
  for (const { labels } of train) labelled += countLabels(labels, options.labelsAt)
  const { skipped, unlabelled, cut } = report
  const padding = paddings(lengths, options)
  const batching = options.packing ? 'packed' : options.shuffle ? 'bucketed' : 'file'
  return {
    format: report.format,
    rows: train.length,
    tokens,
    labelled,
    labelledShare: labelled / Math.max(1, tokens),
    ...distribution(lengths, tokens),
    cut,
    cutShare: cut / Math.max(1, report.rows + unlabelled),
    skipped,
    unlabelled,
    padding,
    batching,
    used: batching === 'file' ? paddingInOrder(lengths, options) : padding[batching],
    ...(options.held === undefined ? {} : { heldRows: options.held.length }),
    ...(options.test === undefined ? {} : { testRows: options.test.length }),
    ...labelsOf(options),
    first: firstRow(train.example(0), options.tokenizer),
  }
}

function labelsOf({ head, held, test }: DataReportOptions): Pick<DataReport, 'heldLabels' | 'testLabels'> {
  const heldLabels = head && held && labelCounts(held, head)
  const testLabels = head && test && labelCounts(test, head)
  return { ...(heldLabels ? { heldLabels } : {}), ...(testLabels ? { testLabels } : {}) }
}

function distribution(lengths: Uint32Array, tokens: number): Pick<DataReport, 'lengths' | 'histogram'> {
  const sorted = lengths.slice().sort()
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  const [min, max] = [at(0), at(1)]
  return {
    lengths: { min, median: at(0.5), p95: at(0.95), max, mean: tokens / Math.max(1, lengths.length) },
    histogram: histogramOf(sorted, min, max),
  }
}

/** Bins of equal width between the shortest and the longest row. */
function histogramOf(lengths: Uint32Array, min: number, max: number): DataReport['histogram'] {
  const width = Math.max(1, Math.ceil((max + 1 - min) / BINS))
  const bins = Array.from({ length: Math.ceil((max + 1 - min) / width) }, (_, i) => ({
    from: min + i * width,
    to: Math.min(min + (i + 1) * width, max + 1),
    rows: 0,
  }))
  for (const length of lengths) {
    const bin = bins[Math.floor((length - min) / width)]
    if (bin !== undefined) bin.rows++
  }
  return bins
}

function paddings(lengths: Uint32Array, options: DataReportOptions): DataReport['padding'] {
  const { batchSize, gradAccumulation, maxLength, seed, shuffle } = options
  const plan = { batchSize, stepRows: batchSize * gradAccumulation }
  const lengthOf = (row: number): number => lengths[row] ?? 0
  const count = lengths.length
  const rows = shuffle
    ? packDecreasing(shuffled(count, seed, -1), lengthOf, maxLength)
    : packInOrder(fileOrder(count), lengthOf, maxLength)
  const filled = rows.map((row) => row.reduce((sum, index) => sum + lengthOf(index), 0))
  return {
    random: paddingShare({ ...plan, lengthOf, order: shuffled(count, seed, 0) }),
    bucketed: paddingShare({ ...plan, lengthOf, order: bucketed(lengthOf, count, plan.stepRows, seed, 0) }),
    packed: paddingShare({
      ...plan,
      lengthOf: (row) => filled[row] ?? 0,
      order: shuffle ? shuffled(filled.length, seed, 0) : fileOrder(filled.length),
    }),
  }
}

function paddingInOrder(lengths: Uint32Array, { batchSize, gradAccumulation }: DataReportOptions): number {
  const order = lengths.map((_, i) => i)
  return paddingShare({
    order,
    lengthOf: (row) => lengths[row] ?? 0,
    batchSize,
    stepRows: batchSize * gradAccumulation,
  })
}

/** A row's text, decoded as a whole so that it reads as written, cut where loss begins and ends. */
export function firstRow({ ids, labels, source }: Example, tokenizer: Tokenizer | undefined): DataReport['first'] {
  const pieces: RowPiece[] = []
  const shown = Math.min(ids.length, SHOWN)
  const decoder = tokenizer?.streamDecoder({ skipSpecialTokens: false })
  const add = (text: string, labelled: boolean): void => {
    const last = pieces.at(-1)
    if (last?.labelled === labelled) last.text += text
    else if (text !== '') pieces.push({ text, labelled })
  }
  const isLabelled = (t: number): boolean => t > 0 && labels[t] !== NO_LABEL
  for (let t = 0; t < shown; t++) {
    const id = ids[t] ?? 0
    // A character whose bytes are not complete comes out with its last token.
    add(decoder === undefined ? `${t === 0 ? '' : ' '}${id}` : decoder.push(id), isLabelled(t))
  }
  if (decoder !== undefined) add(decoder.end(), isLabelled(shown - 1))
  return { source, pieces, tokens: ids.length, shown }
}
