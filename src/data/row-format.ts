/**
 * @file Tells what kind of row an object is, by its fields. Must not know tokenizers.
 */
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'

/** Kinds of rows that are read. */
export type RowFormat =
  | 'text'
  | 'prompt-completion'
  | 'messages'
  | 'sharegpt'
  | 'alpaca'
  | 'input_ids'
  | 'classification'
  | 'pair-classification'
  | 'labelled-ids'
  | 'token-classification'

/** How each kind is said aloud. */
export const FORMAT_FIELDS: Readonly<Record<RowFormat, string>> = {
  text: 'text',
  'prompt-completion': 'prompt, completion',
  messages: 'messages',
  sharegpt: 'conversations',
  alpaca: 'instruction, output',
  input_ids: 'input_ids',
  classification: 'text, label',
  'pair-classification': 'text, text_pair, label',
  'labelled-ids': 'input_ids, label',
  'token-classification': 'tokens, labels',
}

/** First match wins; `format` undefined means understood but not built. */
const KINDS: readonly { fields: readonly string[]; format?: RowFormat; name?: string }[] = [
  { fields: ['input_ids', 'label'], format: 'labelled-ids' },
  { fields: ['input_ids'], format: 'input_ids' },
  { fields: ['messages', 'label'], name: 'preference' },
  { fields: ['messages'], format: 'messages' },
  { fields: ['conversations', 'chosen'], name: 'preference' },
  { fields: ['conversations'], format: 'sharegpt' },
  { fields: ['prompt', 'chosen'], name: 'preference' },
  { fields: ['instruction', 'chosen'], name: 'preference' },
  { fields: ['prompt', 'completion', 'label'], name: 'preference' },
  { fields: ['prompt', 'completion'], format: 'prompt-completion' },
  { fields: ['instruction', 'output'], format: 'alpaca' },
  { fields: ['text_pair', 'label'], format: 'pair-classification' },
  { fields: ['text', 'label'], format: 'classification' },
  { fields: ['text_pair'], format: 'pair-classification' }, // its label is missed when it is read
  { fields: ['tokens', 'labels'], format: 'token-classification' },
  { fields: ['text'], format: 'text' },
]

/** Fields that a row may have besides those that tell its kind. */
const MORE_FIELDS = ['labels', 'token_type_ids', 'tools', 'system', 'input', 'history', 'rejected']
const ROW_FIELDS: ReadonlySet<string> = new Set([...KINDS.flatMap(({ fields }) => fields), ...MORE_FIELDS])

/** Those of a table's columns that rows are made of; the others need not be read. */
export function rowColumns(columns: readonly string[]): string[] {
  return columns.filter((name) => ROW_FIELDS.has(name))
}

/**
 * Tells a row by the fields it has; a field that is null counts where nothing else fits, as tables have every column.
 * @throws LowrankError `unsupported` for a kind that is not built yet, `data` for one that is not known; without a place
 * in a file, which the caller adds
 */
export function rowFormat(row: Readonly<Record<string, unknown>>): RowFormat {
  const kind =
    KINDS.find(({ fields }) => fields.every((field) => Object.hasOwn(row, field) && row[field] != null)) ??
    KINDS.find(({ fields }) => fields.every((field) => Object.hasOwn(row, field)))
  if (kind?.format !== undefined) return kind.format
  const known = Object.values(FORMAT_FIELDS)
    .map((fields) => `{${fields}}`)
    .join(', ')
  if (kind !== undefined)
    throw new LowrankError(
      'unsupported',
      `this is a ${kind.name} row (${kind.fields.join(', ')}), which lowrank does not read yet; it reads ${known}`,
    )
  const fields = Object.keys(row)
  const missing = [...ROW_FIELDS].filter((name) => !fields.includes(name))
  const guess = fields.flatMap((field) => (ROW_FIELDS.has(field) ? [] : nearest(field, missing)))[0]
  const naming = fields.length === 0 ? undefined : '--columns text=NAME says which field is which'
  throw new LowrankError(
    'data',
    `fields ${fields.slice(0, 8).join(', ') || '(none)'} make no row; a row is one of ${known}`,
    { suggestion: guess === undefined ? naming : `did you mean ${guess}?` },
  )
}
