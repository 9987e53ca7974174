/**
 * @file Rows of several files, or of memory, as objects: each with its place in the whole and its file and line.
 * Must not know what rows mean.
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord, parseJson } from '../support/json.ts'
import { MAX_ROW_BYTES, type RawRow, rawRows } from './raw-rows.ts'

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

export async function* readRows(sources: readonly RowSource[], maxBytes = MAX_ROW_BYTES): AsyncGenerator<SourcedRow> {
  let place = 0
  for (const [index, source] of sources.entries()) {
    if (typeof source === 'string') {
      for await (const raw of rawRows(source, maxBytes))
        yield { place: place++, source: index, line: raw.line, value: parse(raw) }
    } else {
      let line = 0
      for await (const value of source) yield { place: place++, source: index, line: ++line, value: asObject(value) }
    }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parse(raw: RawRow): Record<string, unknown> | LowrankError {
  if (raw.problem !== undefined) return new LowrankError('data', raw.problem)
  let text: string
  try {
    text = utf8.decode(raw.bytes)
  } catch {
    return new LowrankError('data', 'the row is not UTF-8 text')
  }
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
