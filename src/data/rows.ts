/**
 * @file Rows of several files, or of memory, as objects: each with its place in the whole and its file and line.
 * Must not know what rows mean.
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord, parseJson } from '../support/json.ts'
import { DelimitedReader, splitterFor, textOf } from './delimited-rows.ts'
import { parquetRows } from './parquet-rows.ts'
import { MAX_ROW_BYTES, rawRows } from './raw-rows.ts'
import type { RawRow } from './row-cutter.ts'

/** A row, or why there is none. */
export interface SourcedRow {
  /** From 0 over all sources. */
  place: number
  /** Index of the source. */
  source: number
  /** Line in a file, or number of the row in memory; from 1. */
  line: number
  value: Record<string, unknown> | LowrankError
}

/** A file's path, or rows in memory. */
export type RowSource = string | Iterable<unknown> | AsyncIterable<unknown>

/** `file:line`, as errors name a row. */
export function sourceName(source: RowSource, line: number): string {
  return `${typeof source === 'string' ? source : 'rows'}:${line}`
}

export interface ReadRowsOptions {
  /** Longest row of a text file. Default 64 MiB. */
  maxBytes?: number | undefined
  /** Columns worth reading, of those that a table has; all where absent. */
  wanted?: ((columns: readonly string[]) => readonly string[]) | undefined
}

export async function* readRows(
  sources: readonly RowSource[],
  options: ReadRowsOptions = {},
): AsyncGenerator<SourcedRow> {
  let place = 0
  for (const [index, source] of sources.entries()) {
    const rows = typeof source === 'string' ? fileRows(source, options) : memoryRows(source)
    for await (const { line, value } of rows) yield { place: place++, source: index, line, value }
  }
}

type PlacedRow = Pick<SourcedRow, 'line' | 'value'>

async function* memoryRows(rows: Iterable<unknown> | AsyncIterable<unknown>): AsyncGenerator<PlacedRow> {
  let line = 0
  for await (const value of rows) yield { line: ++line, value: asObject(value) }
}

async function* fileRows(
  file: string,
  { maxBytes = MAX_ROW_BYTES, wanted }: ReadRowsOptions,
): AsyncGenerator<PlacedRow> {
  if (file.toLowerCase().endsWith('.parquet')) {
    yield* parquetRows(file, wanted)
    return
  }
  const split = splitterFor(file)
  let table: DelimitedReader | undefined
  for await (const raw of rawRows(file, maxBytes)) {
    if (split === undefined) yield { line: raw.line, value: orError(() => parse(raw)) }
    else if (table === undefined) table = new DelimitedReader(split, raw, file)
    else {
      const reader = table
      yield { line: raw.line, value: orError(() => reader.row(raw)) }
    }
  }
}

/** What a row is, or why it is none: the caller knows whether that stops the reading. */
function orError(read: () => Record<string, unknown> | LowrankError): Record<string, unknown> | LowrankError {
  try {
    return read()
  } catch (error) {
    if (error instanceof LowrankError) return error
    throw error
  }
}

function parse(raw: RawRow): Record<string, unknown> | LowrankError {
  const text = textOf(raw)
  try {
    return asObject(parseJson(text))
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error
    const reason = error.message.replace(/^this text is /, 'the row is ')
    const torn = raw.last === true ? '; the file ends inside it: is the file complete?' : ''
    return new LowrankError('data', `${reason}${torn}`)
  }
}

function asObject(value: unknown): Record<string, unknown> | LowrankError {
  if (isRecord(value)) return value
  const kind = Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`
  return new LowrankError('data', `the row is ${kind}, not an object`)
}
