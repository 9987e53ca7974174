/**
 * @file Rows that a model is asked about: a text, a pair of texts, words or ids, with or without a label, each with the
 * name of the adapter that answers it where there are several. Must not know files' formats, models or engines.
 */
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { checkGiven, checkTokens, type EncodeSettings, limitOf } from './encode-row.ts'
import { encodePieces, needed, type Row, textOf, textOfPair, typesFor, wholeNumbers } from './label-rows.ts'
import { type Word, wordsOf } from './words.ts'

/** What a model is asked. */
export interface InputRow {
  readonly ids: Int32Array
  readonly types?: number[] | undefined
  /** Of rows that are told word by word. */
  readonly words?: readonly Word[] | undefined
  /** Where the first piece of each of `words` stands; undefined for words beyond the maximal length. */
  readonly firsts?: readonly (number | undefined)[] | undefined
  /** Name of an adapter, where the row has one. */
  readonly adapter?: string | undefined
  readonly cut: boolean
}

export type InputSettings = Omit<EncodeSettings, 'trainOn'>

/** The fields of a row, by which tables are read. */
export const INPUT_FIELDS = ['text', 'text_pair', 'tokens', 'input_ids', 'token_type_ids', 'adapter'] as const

/** How rows are read: whole, or word by word. */
export type InputUnit = 'whole' | 'words'

/**
 * One row to what the model reads. Fields that say nothing to it (a label, an id) are left alone.
 * @throws LowrankError `data` naming the field; without a place in a file, which the caller adds
 */
export function encodeInput(row: Row, unit: InputUnit, settings: InputSettings): InputRow {
  const adapter = adapterOf(row)
  const encoded = has(row, 'input_ids') ? givenIds(row, unit, settings) : encodeText(row, unit, settings)
  return { ...encoded, adapter }
}

/** A field that is null counts as missing: tables have every column. */
const has = (row: Row, field: string): boolean => row[field] !== undefined && row[field] !== null

function encodeText(row: Row, unit: InputUnit, settings: InputSettings): InputRow {
  if (!has(row, 'text') && !has(row, 'tokens')) throw noText(row)
  const { tokenizer, vocabSize, tokenTypes = 0 } = settings
  const tokens = needed(tokenizer, has(row, 'text') ? 'text' : 'tokens')
  const limit = limitOf(settings)
  const check = (ids: readonly number[]): Int32Array => {
    checkTokens(ids, vocabSize, tokenizer)
    return Int32Array.from(ids)
  }
  if (unit === 'words') {
    if (has(row, 'text_pair'))
      throw new LowrankError('data', 'text_pair: words are told of one text, not of two', { field: 'text_pair' })
    const words = has(row, 'tokens') ? givenWords(row.tokens) : wordsOf(textOf(row, 'text'))
    if (words.length === 0) throw new LowrankError('data', 'text has no word to tell', { field: 'text' })
    const list = words.map(({ word }) => word)
    const { ids, types, cut, firsts } = encodePieces(list, tokens, limit)
    return { ids: check(ids), words, firsts, cut, ...typesFor(types, { tokenTypes }) }
  }
  if (!has(row, 'text'))
    throw new LowrankError('data', 'the row has words (tokens), and the model tells whole texts', {
      ...{ field: 'tokens', suggestion: 'give the text as text' },
    })
  const pair = has(row, 'text_pair') ? textOfPair(row, 'text_pair') : undefined
  const text = pair === undefined ? textOf(row, 'text') : textOfPair(row, 'text')
  const { ids, types, cut } = tokens.encodeFramed(text, pair, limit)
  return { ids: check(ids), cut, ...typesFor(types, { tokenTypes }) }
}

function givenIds(row: Row, unit: InputUnit, settings: InputSettings): InputRow {
  const ids = wholeNumbers(row, 'input_ids')
  checkGiven(ids, settings)
  const types = has(row, 'token_type_ids') ? wholeNumbers(row, 'token_type_ids') : []
  if (types.length > 0 && types.length !== ids.length)
    throw new LowrankError('data', `token_type_ids has ${types.length} entries, input_ids has ${ids.length}`, {
      field: 'token_type_ids',
    })
  const told =
    unit === 'words'
      ? {
          words: ids.map((id): Word => ({ word: settings.tokenizer?.tokenOf(id) ?? String(id) })),
          firsts: [...ids.keys()],
        }
      : {}
  return {
    ids: Int32Array.from(ids),
    cut: false,
    ...told,
    ...typesFor(types, { tokenTypes: settings.tokenTypes ?? 0 }),
  }
}

function givenWords(tokens: unknown): Word[] {
  if (!Array.isArray(tokens)) throw new LowrankError('data', 'tokens is not a list of words', { field: 'tokens' })
  return tokens.map((word: unknown, at) => {
    if (typeof word === 'string') return { word }
    throw new LowrankError('data', `tokens[${at}] is not a word`, { field: 'tokens' })
  })
}

/** The adapter that a row names. @throws LowrankError `data` */
export function adapterOf(row: Row): string | undefined {
  const { adapter } = row
  if (adapter === undefined || adapter === null || adapter === '') return undefined
  if (typeof adapter === 'string') return adapter
  throw new LowrankError('data', `adapter is ${JSON.stringify(adapter)}, not the name of one`, { field: 'adapter' })
}

function noText(row: Row): LowrankError {
  const fields = Object.keys(row)
  const guess = fields.map((field) => nearest(field, ['text', 'tokens', 'input_ids'])[0]).find((near) => near)
  const message = `text is missing: a row is {text}, {text, text_pair}, {tokens} or {input_ids}, this one has ${fields.slice(0, 8).join(', ') || 'no field'}`
  return new LowrankError('data', message, {
    field: 'text',
    suggestion: guess ? `did you mean ${guess}?` : '--columns text=NAME says which column is the text',
  })
}
