/**
 * @file Rows of encoders: a text, a pair of texts or ids with a label; words with a label each; texts whose tokens are to
 * be masked. Must not know files or batches. Errors carry no place in a file; the caller adds it.
 */
import type { Task } from '../formats/task.ts'
import { LowrankError } from '../support/errors.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { NO_LABEL } from './example.ts'
import { type LabelValue, labelValue } from './label-table.ts'
import type { RowFormat } from './row-format.ts'

export type Row = Readonly<Record<string, unknown>>

/** Formats whose rows carry labels. */
export type LabelFormat = 'classification' | 'pair-classification' | 'labelled-ids' | 'token-classification'

const LABEL_FORMATS: readonly LabelFormat[] = [
  'classification',
  'pair-classification',
  'labelled-ids',
  'token-classification',
]

export function isLabelFormat(format: RowFormat): format is LabelFormat {
  return LABEL_FORMATS.some((name) => name === format)
}

/** What an encoder reads of a row, and what it should say of it. */
export interface LabelRow {
  readonly ids: number[]
  /** Token types, where the model takes any. */
  readonly types?: number[] | undefined
  /** A label a token; undefined for none. */
  readonly labels: (LabelValue | undefined)[]
  readonly cut: boolean
}

export interface LabelRowSettings {
  readonly tokenizer?: Tokenizer | undefined
  /** Text rows are cut to this many tokens. */
  readonly limit: number
  /** Kinds of token types the model takes. */
  readonly tokenTypes: number
}

/** @throws LowrankError `data` naming the field */
export function encodeLabelRow(row: Row, format: LabelFormat, settings: LabelRowSettings): LabelRow {
  if (format === 'labelled-ids') {
    const ids = wholeNumbers(row, 'input_ids')
    const types = Object.hasOwn(row, 'token_type_ids') ? wholeNumbers(row, 'token_type_ids') : []
    if (types.length > 0 && types.length !== ids.length)
      throw new LowrankError('data', `token_type_ids has ${types.length} entries, input_ids has ${ids.length}`, {
        field: 'token_type_ids',
      })
    return { ...ofWhole({ ids, cut: false }, row), ...typesFor(types, settings) }
  }
  const tokenizer = needed(settings.tokenizer, format)
  if (format === 'token-classification') return encodeWords(row, tokenizer, settings)
  const pair = format === 'pair-classification' ? textOfPair(row, 'text_pair') : undefined
  const text = pair === undefined ? textOf(row, 'text') : textOfPair(row, 'text')
  const { ids, types, cut } = tokenizer.encodeFramed(text, pair, settings.limit)
  return { ...ofWhole({ ids, cut }, row), ...typesFor(types, settings) }
}

/** Rows that have one text and rows that have two, in one file. @param isPair what the row has that differs from those before */
export function otherTexts(isPair: boolean): LowrankError {
  const what = isPair ? 'is there, and missing in the rows before' : 'is missing, and the rows before have two texts'
  return new LowrankError('data', `text_pair ${what}`, { field: 'text_pair' })
}

export function needed(tokenizer: Tokenizer | undefined, format: string): Tokenizer {
  if (tokenizer) return tokenizer
  throw new LowrankError('data', `${format} rows need a tokenizer`, { suggestion: 'name one with --tokenizer' })
}

/** The label of the whole stands at its first token. */
function ofWhole({ ids, cut }: { ids: number[]; cut: boolean }, row: Row): LabelRow {
  const label = labelValue(row.label, 'label')
  return { ids, cut, labels: ids.map((_, at) => (at === 0 ? label : undefined)) }
}

export function typesFor(
  types: number[],
  { tokenTypes }: Pick<LabelRowSettings, 'tokenTypes'>,
): Pick<LabelRow, 'types'> {
  return types.some((type) => type > 0 && type < tokenTypes) ? { types } : {}
}

/** The label of each word stands at its first piece. */
function encodeWords(row: Row, tokenizer: Tokenizer, settings: LabelRowSettings): LabelRow {
  const { tokens: words, labels } = row
  const { ids, types, cut, firsts } = encodePieces(words, tokenizer, settings.limit)
  if (!Array.isArray(labels) || labels.length !== firsts.length) {
    const has = Array.isArray(labels) ? `has ${labels.length} entries` : 'is not a list'
    throw new LowrankError('data', `labels ${has}, tokens has ${firsts.length}`, { field: 'labels' })
  }
  const given = labels.map((label, i) => (noLabel(label) ? undefined : labelValue(label, `labels[${i}]`)))
  const byPlace = new Map(firsts.map((at, i) => [at, given[i]]))
  return { ids, cut, labels: ids.map((_, at) => byPlace.get(at)), ...typesFor(types, settings) }
}

/** A text that comes in words. */
export interface Pieces {
  readonly ids: number[]
  readonly types: number[]
  readonly cut: boolean
  /** Where the first piece of each word stands; undefined for words that were cut off or have no piece. */
  readonly firsts: (number | undefined)[]
}

/** Each word is tokenized by itself. @throws LowrankError `data` */
export function encodePieces(words: unknown, tokenizer: Tokenizer, limit: number): Pieces {
  if (!Array.isArray(words) || words.length === 0)
    throw new LowrankError('data', 'tokens is not a list of words', { field: 'tokens' })
  const pieces = words.map((word: unknown, at) => {
    if (typeof word !== 'string') throw new LowrankError('data', `tokens[${at}] is not a word`, { field: 'tokens' })
    return tokenizer.encodeWord(word)
  })
  const { ids, types, cut, start } = tokenizer.frame(pieces.flat(), undefined, limit)
  const end = start + ids.length - tokenizer.frame([], undefined, limit).ids.length
  let next = start
  const firsts = pieces.map(({ length }) => {
    const at = next
    next += length
    return length > 0 && at < end ? at : undefined
  })
  return { ids, types, cut, firsts }
}

const noLabel = (value: unknown): boolean => value === NO_LABEL

/** A text whose tokens may be masked: all but special ones are to be told. */
export function encodeMaskable(row: Row, { tokenizer: given, limit }: LabelRowSettings): MaskableRow {
  const tokenizer = needed(given, 'text')
  const { ids, cut } = Object.hasOwn(row, 'input_ids')
    ? { ids: wholeNumbers(row, 'input_ids'), cut: false }
    : tokenizer.encodeFramed(textOf(row, 'text'), undefined, limit)
  return { ids, cut, labels: ids.map((id) => (tokenizer.isSpecial(id) ? NO_LABEL : id)) }
}

export interface MaskableRow {
  readonly ids: number[]
  readonly labels: number[]
  readonly cut: boolean
}

/** What rows of a format teach a model. @throws LowrankError `data` for rows that the model cannot learn from */
export function taskOfRows(format: RowFormat, hasLabels: boolean, model: Task, asked: Task | undefined): Task {
  const task = asked ?? model
  if (model === 'causal-lm') {
    if (!isLabelFormat(format)) return 'causal-lm'
    throw unfit(format, 'the model predicts the next token', 'use an encoder such as bert or modernbert')
  }
  if (format === 'token-classification') return 'token-classification'
  if (isLabelFormat(format)) return asked === 'regression' || asked === 'classification' ? asked : 'classification'
  if (format === 'input_ids' && hasLabels && task === 'token-classification') return 'token-classification'
  if (format === 'text' || format === 'input_ids') {
    if (task === 'masked-lm') return 'masked-lm'
    const why = 'these rows have no label, and the model is no masked language model'
    throw unfit(format, why, 'give rows with labels, as {"text", "label"}, or a model with a masked language head')
  }
  throw unfit(format, 'the model reads a text as a whole and writes none', 'use a decoder such as llama or qwen2')
}

function unfit(format: RowFormat, why: string, suggestion: string): LowrankError {
  return new LowrankError('data', `${why}, so it cannot learn from ${format} rows`, { field: 'task', suggestion })
}

export function textOf(row: Row, field: string): string {
  const value = row[field]
  if (typeof value === 'string') return value
  throw new LowrankError('data', `${field} is ${JSON.stringify(value) ?? 'missing'}, not a string`, { field })
}

/** One text of a pair. */
export function textOfPair(row: Row, field: string): string {
  const value = row[field]
  if (typeof value === 'string' && value !== '') return value
  const what = value === undefined || value === null || value === '' ? 'missing' : JSON.stringify(value).slice(0, 60)
  throw new LowrankError('data', `${field} is ${what}: a pair has two texts`, { field })
}

export function wholeNumbers(row: Row, field: string): number[] {
  const value = row[field]
  if (!Array.isArray(value) || value.length === 0)
    throw new LowrankError('data', `${field} is not a list of at least one integer`, { field })
  return value.map((entry: unknown, at) => {
    if (typeof entry === 'number' && Number.isInteger(entry)) return entry
    throw new LowrankError('data', `${field}[${at}] is ${JSON.stringify(entry)}, not an integer`, { field })
  })
}
