/**
 * @file Tells what kind of row an object is, by its fields. Must not know tokenizers.
 */
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'

/** Kinds of rows that are read. */
export type RowFormat = 'text' | 'prompt-completion' | 'messages' | 'sharegpt' | 'alpaca' | 'input_ids'

/** How each kind is said aloud. */
export const FORMAT_FIELDS: Readonly<Record<RowFormat, string>> = {
  text: 'text',
  'prompt-completion': 'prompt, completion',
  messages: 'messages',
  sharegpt: 'conversations',
  alpaca: 'instruction, output',
  input_ids: 'input_ids',
}

/** First match wins; `format` undefined means understood but not built. */
const KINDS: readonly { fields: readonly string[]; format?: RowFormat; name?: string }[] = [
  { fields: ['input_ids', 'label'], name: 'classification' },
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
  { fields: ['text', 'label'], name: 'classification' },
  { fields: ['text_pair'], name: 'classification' },
  { fields: ['tokens', 'labels'], name: 'token classification' },
  { fields: ['text'], format: 'text' },
]

/** Fields that a row may have besides those that tell its kind. */
const MORE_FIELDS = ['labels', 'tools', 'system', 'input', 'history', 'text_pair', 'rejected']
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
  const guesses = fields.flatMap((field) =>
    nearest(
      field,
      KINDS.flatMap((k) => k.fields),
    ),
  )
  throw new LowrankError(
    'data',
    `fields ${fields.slice(0, 8).join(', ') || '(none)'} make no row; a row is one of ${known}`,
    {
      suggestion: guesses[0] === undefined ? undefined : `did you mean ${guesses[0]}?`,
    },
  )
}
