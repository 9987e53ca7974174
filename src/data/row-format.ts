/**
 * @file Tells what kind of row an object is, by its fields. Must not know tokenizers.
 */
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'

/** Kinds of rows that are read. */
export type RowFormat = 'text' | 'prompt-completion' | 'messages' | 'input_ids'

/** How each kind is said aloud. */
export const FORMAT_FIELDS: Readonly<Record<RowFormat, string>> = {
  text: 'text',
  'prompt-completion': 'prompt, completion',
  messages: 'messages',
  input_ids: 'input_ids',
}

/** First match wins; `format` undefined means understood but not built. */
const KINDS: readonly { fields: readonly string[]; format?: RowFormat; name?: string }[] = [
  { fields: ['input_ids', 'label'], name: 'classification' },
  { fields: ['input_ids'], format: 'input_ids' },
  { fields: ['messages'], format: 'messages' },
  { fields: ['conversations'], name: 'sharegpt' },
  { fields: ['prompt', 'chosen'], name: 'preference' },
  { fields: ['prompt', 'completion', 'label'], name: 'preference' },
  { fields: ['prompt', 'completion'], format: 'prompt-completion' },
  { fields: ['instruction', 'output'], name: 'alpaca' },
  { fields: ['text', 'label'], name: 'classification' },
  { fields: ['text_pair'], name: 'classification' },
  { fields: ['tokens', 'labels'], name: 'token classification' },
  { fields: ['text'], format: 'text' },
]

/**
 * @throws LowrankError `unsupported` for a kind that is not built yet, `data` for one that is not known; without a place
 * in a file, which the caller adds
 */
export function rowFormat(row: Readonly<Record<string, unknown>>): RowFormat {
  const kind = KINDS.find(({ fields }) => fields.every((field) => Object.hasOwn(row, field)))
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
