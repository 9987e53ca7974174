/**
 * @file Files of rows to a dataset and a report of what was found in them.
 * Must not know engines or models. The format is told from the first row; a row that does not fit is refused with file,
 * line and reason, or counted.
 */
import type { HeadSpec, Task } from '../formats/task.ts'
import { LowrankError } from '../support/errors.ts'
import { count } from '../support/human.ts'
import { nearest } from '../support/nearest.ts'
import { type Dataset, DatasetBuilder } from './dataset.ts'
import { type Encoded, type EncodeSettings, encodeLabelled, encodeMasked, encodeRow } from './encode-row.ts'
import { countLabels, NO_LABEL } from './example.ts'
import { type HeadFacts, type LabelPlan, planLabels } from './label-plan.ts'
import { isLabelFormat, otherTexts, taskOfRows } from './label-rows.ts'
import { LabelTable, type LabelValue } from './label-table.ts'
import { type RowFormat, rowColumns, rowFormat } from './row-format.ts'
import { type ReadRowsOptions, type RowSource, readRows, type SourcedRow, sourceName } from './rows.ts'

export interface LoadDatasetOptions extends EncodeSettings {
  /** Files, or rows in memory, read one after the other. */
  sources: readonly RowSource[]
  /** Count rows that do not fit instead of stopping at the first. Default false. */
  skipBadRows?: boolean
  /** Longest row. Default 64 MiB. */
  maxRowBytes?: number
  /** Fields of rows and the columns that hold them, where those have other names. */
  columns?: Readonly<Record<string, string>> | undefined
  /** What is known of the model's head. Default: a language model that predicts the next token. */
  head?: HeadFacts | undefined
  signal?: AbortSignal | undefined
}

export interface DatasetReport {
  format: RowFormat
  /** Examples kept. */
  rows: number
  tokens: number
  /** Labels that count. */
  labelled: number
  /** Rows cut to the maximal length. */
  cut: number
  /** Rows left out because they do not fit (`skipBadRows`), with the first reasons. */
  skipped: number
  reasons: string[]
  /** Rows left out because no token of theirs carries loss. */
  unlabelled: number
  /** Tokens of the longest example. */
  longest: number
  /** Tokens that stand for text the tokenizer has no piece of. */
  unknown?: number
}

export interface LoadedDataset {
  dataset: Dataset
  report: DatasetReport
  /** What the rows train, and the labels they have. */
  head: HeadSpec
}

const MAX_REASONS = 5

/**
 * Reads and encodes all rows.
 * @throws LowrankError `data` (or `unsupported`, by name) with file and line; `data` where no row is left to learn from
 */
export async function loadDataset(options: LoadDatasetOptions): Promise<LoadedDataset> {
  const { sources } = options
  const nameOf = (source: number, line: number) => sourceName(sources[source] ?? [], line)
  const builder = new DatasetBuilder(nameOf)
  const report = emptyReport()
  const { head = NEXT_TOKEN } = options
  const table = new LabelTable()
  let format: RowFormat | undefined
  let learned: Task = head.task
  for await (const row of readRows(sources, readOptions(options))) {
    if (options.signal?.aborted) throw new LowrankError('stopped', 'stopped while reading the data')
    try {
      const found = formatOf(row, format, options.columns)
      const task = taskOfRows(found.format, Object.hasOwn(found.row, 'labels'), head.task, head.asked)
      const encoded = encode(found, task, options, (label) => table.number(label, nameOf(row.source, row.line)))
      format = found.format
      learned = task
      if (tally(report, encoded, task, options.tokenizer?.unkId)) builder.add(encoded, row.place, row.source, row.line)
    } catch (error) {
      const placed = inPlace(error, nameOf(row.source, row.line))
      if (options.skipBadRows !== true) throw placed
      report.skipped++
      if (report.reasons.length < MAX_REASONS) report.reasons.push(placed.message)
    }
  }
  if (format === undefined || builder.length === 0) throw nothingLeft(sources, report)
  const plan: LabelPlan = isLabelFormat(format)
    ? planLabels(table.seen, format === 'token-classification' ? 'token' : 'row', head)
    : { head: { task: learned, labels: learned === head.task ? head.labels : [] } }
  return { dataset: builder.build(plan), report: { ...report, format }, head: plan.head }
}

const NEXT_TOKEN: HeadFacts = { task: 'causal-lm', labels: [], stands: true, settled: true }

function encode(
  { row, format }: { row: Record<string, unknown>; format: RowFormat },
  task: Task,
  options: LoadDatasetOptions,
  numberOf: (label: LabelValue) => number,
): Encoded {
  if (isLabelFormat(format)) return encodeLabelled(row, format, options, numberOf)
  const isMasked = task === 'masked-lm' && !Object.hasOwn(row, 'labels')
  const encoded = isMasked ? encodeMasked(row, options) : encodeRow(row, format, options)
  if (task === 'token-classification') checkClasses(encoded.labels, options.head?.labels.length ?? 0)
  return encoded
}

function checkClasses(labels: readonly number[], count: number): void {
  const at = labels.findIndex((label) => label !== NO_LABEL && label >= count)
  if (at < 0) return
  throw new LowrankError('data', `labels[${at}] is ${labels[at]}: the model tells ${count} labels apart`, {
    field: 'labels',
  })
}

function emptyReport(): Omit<DatasetReport, 'format'> {
  return { rows: 0, tokens: 0, labelled: 0, cut: 0, skipped: 0, reasons: [], unlabelled: 0, longest: 0 }
}

function readOptions({ maxRowBytes, columns = {} }: LoadDatasetOptions): ReadRowsOptions {
  const named = new Set(Object.values(columns))
  return {
    maxBytes: maxRowBytes,
    wanted: (all) => [...new Set([...rowColumns(all), ...all.filter((name) => named.has(name))])],
  }
}

/** The row with its fields under the names that rows have. @throws LowrankError `data` for a column that is not there */
export function renamed(
  row: Record<string, unknown>,
  columns: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const moved = new Set(Object.values(columns))
  const rest = Object.entries(row).filter(([name]) => !moved.has(name))
  const fields = Object.entries(columns).map(([field, column]): [string, unknown] => {
    if (Object.hasOwn(row, column)) return [field, row[column]]
    throw new LowrankError('data', `there is no column ${column}`, {
      field: 'columns',
      suggestion: nearest(column, Object.keys(row))[0] ?? `it has ${Object.keys(row).slice(0, 8).join(', ')}`,
    })
  })
  return Object.fromEntries([...rest, ...fields])
}

function formatOf(
  { value }: SourcedRow,
  first: RowFormat | undefined,
  columns: Readonly<Record<string, string>> | undefined,
): { row: Record<string, unknown>; format: RowFormat } {
  if (value instanceof LowrankError) throw value
  const row = columns === undefined ? value : renamed(value, columns)
  const format = rowFormat(row)
  if (first === 'pair-classification' && format === 'classification') throw otherTexts(false)
  if (first === 'classification' && format === 'pair-classification') throw otherTexts(true)
  if (first !== undefined && isLabelFormat(first) && !isLabelFormat(format) && row.label == null)
    throw new LowrankError('data', 'label is missing', { field: 'label' })
  if (first !== undefined && format !== first)
    throw new LowrankError('data', `the row is of kind ${format}, and those before it are of kind ${first}`)
  return { row, format }
}

/** Share of tokens; texts in the tokenizer's language have well below a hundredth. */
const MUCH_UNKNOWN = 0.1

/** What a person should be told of rows that were not taken as they stand. */
export function rowWarnings(report: DatasetReport): string[] {
  const { cut, unlabelled, skipped, reasons, unknown = 0, tokens } = report
  const share = unknown / Math.max(1, tokens)
  return [
    ...(share > MUCH_UNKNOWN
      ? [`${Math.round(100 * share)} % of the tokens stand for text the tokenizer has no piece of: is it made for it?`]
      : []),
    ...(cut > 0 ? [`${count(cut)} rows were cut to the maximal length`] : []),
    ...(unlabelled > 0 ? [`${count(unlabelled)} rows have no token with loss and are left out`] : []),
    ...(skipped > 0 ? [`${count(skipped)} bad rows were skipped: ${reasons.join('; ')}`] : []),
  ]
}

/** Adds a row to the report; false where it has nothing to learn. */
function tally(
  report: Omit<DatasetReport, 'format'>,
  { ids, labels, cut }: Encoded,
  task: Task,
  unkId: number | undefined,
): boolean {
  const labelled = countLabels(labels, task === 'causal-lm' ? 'next' : 'own')
  if (cut) report.cut++
  if (labelled === 0) {
    report.unlabelled++
    return false
  }
  report.rows++
  report.tokens += ids.length
  report.labelled += labelled
  report.longest = Math.max(report.longest, ids.length)
  if (unkId !== undefined) report.unknown = (report.unknown ?? 0) + ids.filter((id) => id === unkId).length
  return true
}

/** The error with the row it is about. Anything that is not ours is a defect and passes. */
function inPlace(error: unknown, source: string): LowrankError {
  if (!(error instanceof LowrankError)) throw error
  return new LowrankError(error.code, `${source}: ${error.message}`, {
    file: source,
    field: error.field,
    suggestion: error.suggestion,
    cause: error,
  })
}

function nothingLeft(sources: readonly RowSource[], report: Omit<DatasetReport, 'format'>): LowrankError {
  const named = sources.map((source) => (typeof source === 'string' ? source : 'the rows given'))
  const what = named.join(', ') || 'the data'
  const file = named[0]
  if (report.unlabelled > 0) {
    const cut = report.cut > 0 ? `; ${report.cut} rows were cut before their first label: raise the maximal length` : ''
    return new LowrankError('data', `${what}: no token of any row carries loss, so there is nothing to learn${cut}`, {
      file,
    })
  }
  if (report.skipped > 0)
    return new LowrankError('data', `${what}: all ${report.skipped} rows are bad; the first: ${report.reasons[0]}`, {
      file,
    })
  return new LowrankError('data', `${what}: there are no rows`, { file })
}
