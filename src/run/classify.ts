/**
 * @file `classify`: labels with probabilities, numbers, or words with labels, of texts; once, or by a classifier that is
 * kept open. Must not know a terminal.
 */
import { resolveOptions } from '../config/resolve.ts'
import type { ClassifyOptions } from '../config/verbs/index.ts'
import type { RowSource } from '../data/rows.ts'
import { answerText, answerWords, type ClassifyResult } from '../infer/answers.ts'
import { LowrankError } from '../support/errors.ts'
import { checkHead, type Watched } from './evaluate.ts'
import { evaluationFiles } from './evaluation-files.ts'
import { disposeReader, type OpenReader, type OpenSeat, openReader, type ReadRow, readThrough } from './open-reader.ts'
import { rowColumnNames } from './row-columns.ts'
import type { TextRow } from './types.ts'

export type { ClassifyResult }

/** What opens a classifier: the options of `classify` that name the model, its adapters and its engine. */
export type OpenClassifierOptions = Omit<ClassifyOptions, 'text' | 'textPair' | 'data' | 'columns' | 'topK'> & Watched

export interface ClassifyCall extends Watched {
  /** Name of the adapter that answers rows which name none; needed where there are several. */
  readonly adapter?: string | undefined
  /** Labels of `scores`, the likeliest. @default all */
  readonly topK?: number | undefined
}

/** A classifier that stays open. Dispose it when done. */
export class Classifier {
  readonly #open: OpenReader

  /** Use {@link openClassifier}. */
  constructor(open: OpenReader) {
    this.#open = open
  }

  /** The labels that are told apart, by index, of each adapter by its name (`base` where there is none). */
  get labels(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.#open.seats.map(({ name, model }) => [name, model.spec.labels]))
  }

  /**
   * Classifies texts, or rows as data files have them; one result a row, in their order. Calls may overlap.
   * @throws LowrankError `data` naming the row, `usage` naming an adapter that is not there with the nearest that is
   */
  async classify(rows: readonly (string | TextRow)[], call: ClassifyCall = {}): Promise<ClassifyResult[]> {
    if (rows.length === 0) return []
    const { adapter, topK, signal, onProgress } = call
    const read = await readRows(this.#open, [rows.map(asRow)], { adapter, signal, onProgress })
    return read.map((row) => answerOf(row, topK))
  }

  /** Ends what runs and frees the engine. */
  async dispose(): Promise<void> {
    await disposeReader(this.#open)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}

/**
 * Opens a classifier, with adapters where any are named, and keeps it.
 * @throws LowrankError `missing`, `format`, `config`, `unsupported`, naming file and field; `usage` for a model that tells
 * no labels apart
 * @example
 * const classifier = await openClassifier({ adapter: 'runs/feelings' })
 * const [result] = await classifier.classify(['what a day'])
 */
export async function openClassifier({ signal, onProgress, ...options }: OpenClassifierOptions): Promise<Classifier> {
  // `classify` checks the same options; the text stands in for the ones to come.
  const settings = resolveOptions('classify', { ...options, text: '' })
  return new Classifier(await openReader(settings, 'labels', checkSeat, { signal, onEvent: onProgress }))
}

/**
 * Classifies one text, or the rows of files, or `rows` of memory; one result a row, in their order.
 * @throws LowrankError as {@link openClassifier}; `data` naming file, line and field
 */
export async function classify(
  options: ClassifyOptions & Watched & { rows?: readonly (string | TextRow)[] },
): Promise<ClassifyResult[]> {
  return (await classifyRows(options)).map(({ result }) => result)
}

/** The same with the text of each row as it is shown. */
export async function classifyRows({
  rows,
  signal,
  onProgress,
  ...options
}: Parameters<typeof classify>[0]): Promise<{ shown: string; result: ClassifyResult }[]> {
  const settings = resolveOptions('classify', rows ? { ...options, text: '' } : options)
  const { text, textPair, data, topK } = settings
  const single = { text: text ?? '', ...(textPair === undefined ? {} : { text_pair: textPair }) }
  const sources: RowSource[] = rows ? [rows.map(asRow)] : data ? await evaluationFiles(data) : [[single]]
  const open = await openReader(settings, 'labels', checkSeat, { signal, onEvent: onProgress })
  try {
    const read = await readRows(open, sources, { columns: rowColumnNames(settings.columns), signal, onProgress })
    return read.map((row) => ({ shown: row.input.shown, result: answerOf(row, topK) }))
  } finally {
    await disposeReader(open)
  }
}

async function readRows(
  open: OpenReader,
  sources: readonly RowSource[],
  settings: Omit<Parameters<typeof readThrough>[2], 'label' | 'unitOf'>,
): Promise<ReadRow[]> {
  const unitOf = ({ model }: OpenSeat): 'words' | 'whole' =>
    model.spec.task === 'token-classification' ? 'words' : 'whole'
  return await readThrough(open, sources, { ...settings, label: 'classify', unitOf })
}

function answerOf({ input, seat, values }: ReadRow, topK: number | undefined): ClassifyResult {
  const { spec } = seat.model
  const { words = [], firsts = [] } = input
  if (spec.task !== 'token-classification') return answerText(spec, values, topK)
  const read = words.filter((_, i) => firsts[i] !== undefined)
  return answerWords(spec, read, values)
}

export function asRow(row: string | TextRow): TextRow {
  return typeof row === 'string' ? { text: row } : row
}

/** @throws LowrankError `usage` for a model that tells nothing apart, `missing` for a head without weights */
function checkSeat({ name, open, adapter }: OpenSeat): void {
  const { model, folder } = open
  const { spec, raw, modelType } = model
  if (spec.task === 'causal-lm')
    throw new LowrankError('unsupported', `${raw.file}: ${modelType} is a decoder: it writes text and has no labels`, {
      ...{ file: raw.file, field: 'model_type', suggestion: 'use an encoder such as bert or modernbert' },
    })
  if (spec.task === 'masked-lm' || spec.task === 'embedding') {
    const what = adapter ? `${folder} has no classifier's head, and neither has the adapter ${name}` : folder
    const message = adapter ? what : `${what} has no classifier's head, and no adapter brings one`
    throw new LowrankError('usage', message, {
      ...{ file: raw.file, field: 'adapter' },
      suggestion: `train one with rows {"text", "label"}: lowrank train --model ${folder} --data rows.csv --output runs/mine; then name it with --adapter runs/mine`,
    })
  }
  checkHead({ base: open, adapters: adapter ? [adapter] : [] })
}
