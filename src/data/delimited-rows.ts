/**
 * @file Rows of CSV and TSV files as objects: the first line names the columns. Cells are texts, but for columns whose
 * rows need more: `label` may be a number, lists are written as JSON.
 * Must not know what rows mean to a model. Source: RFC 4180 (CSV), the IANA text/tab-separated-values type (TSV).
 */
import { LowrankError } from '../support/errors.ts'
import { parseJson } from '../support/json.ts'
import type { RawRow } from './row-cutter.ts'

type Split = (text: string) => string[]

/** How the fields of a record are told apart, by the file's extension; undefined for files that are not delimited. */
export function splitterFor(file: string): Split | undefined {
  const name = file.toLowerCase()
  return name.endsWith('.csv') ? csvFields : name.endsWith('.tsv') ? tsvFields : undefined
}

/** Columns whose cells hold lists or objects, as JSON. */
const JSON_COLUMNS = new Set(['messages', 'conversations', 'input_ids', 'labels', 'tokens', 'history'])
/** Columns that a row may do without: an empty cell is none. */
const OPTIONAL_COLUMNS = new Set(['tools', 'system', 'history', 'labels', 'text_pair'])
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** Turns records into rows, given the file's first one. */
export class DelimitedReader {
  readonly #split: Split
  readonly #columns: readonly string[]

  /** @throws LowrankError `data` for a first line that names no columns */
  constructor(split: Split, header: RawRow, file: string) {
    this.#split = split
    try {
      this.#columns = this.#fields(header).map((name) => name.trim())
      checkColumns(this.#columns)
    } catch (error) {
      if (!(error instanceof LowrankError)) throw error
      const place = `${file}:${header.line}`
      throw new LowrankError('data', `${place}: the header cannot be read: ${error.message}`, { file: place })
    }
  }

  /** @throws LowrankError `data` saying what is wrong with the record */
  row(raw: RawRow): Record<string, unknown> {
    const cells = this.#fields(raw)
    const names = this.#columns
    if (cells.length !== names.length)
      throw new LowrankError('data', `the row has ${cells.length} fields, and the header names ${names.length}`)
    const row: Record<string, unknown> = {}
    names.forEach((name, i) => {
      const value = cellValue(name, cells[i] ?? '')
      if (value !== undefined) Object.defineProperty(row, name, { value, enumerable: true })
    })
    return row
  }

  #fields(raw: RawRow): string[] {
    return this.#split(textOf(raw))
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @throws LowrankError `data` where the bytes are no row */
export function textOf(raw: RawRow): string {
  if (raw.problem !== undefined) throw new LowrankError('data', raw.problem)
  try {
    return utf8.decode(raw.bytes)
  } catch {
    throw new LowrankError('data', 'the row is not UTF-8 text')
  }
}

function checkColumns(names: readonly string[]): void {
  const [only = '', ...others] = names
  if (others.length === 0 && only.includes(';'))
    throw new LowrankError('data', 'the columns seem to be separated by semicolons: write commas')
  if (others.length === 0 && only.includes('\t'))
    throw new LowrankError('data', 'the columns seem to be separated by tabs: name the file .tsv')
  if (names.some((name) => name.includes('\r')))
    throw new LowrankError('data', 'lines end with CR alone: save the file with LF or CRLF line ends')
  const twice = names.find((name, i) => name !== '' && names.indexOf(name) !== i)
  if (twice !== undefined) throw new LowrankError('data', `the column ${twice} stands twice`, { field: twice })
}

function cellValue(column: string, cell: string): unknown {
  if (cell === '' && OPTIONAL_COLUMNS.has(column)) return undefined
  if (column === 'label') return cell === '' ? null : NUMBER.test(cell) ? Number(cell) : cell
  if (!JSON_COLUMNS.has(column)) return cell
  try {
    return parseJson(cell)
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error
    throw new LowrankError(
      'data',
      `${column} holds no JSON: ${error.message.replace(/^this text is /, 'the cell is ')}`,
      {
        field: column,
        suggestion: /^[[{].*'/s.test(cell)
          ? "lists are written as JSON, not as Python's repr: json.dumps(…)"
          : undefined,
      },
    )
  }
}

function csvFields(text: string): string[] {
  const fields: string[] = []
  for (let at = 0; ; at++) {
    if (text[at] === '"') {
      const { value, end } = quotedField(text, at, fields.length + 1)
      fields.push(value)
      at = end
    } else {
      const comma = text.indexOf(',', at)
      const end = comma < 0 ? text.length : comma
      fields.push(text.slice(at, end))
      at = end
    }
    if (at >= text.length) return fields
  }
}

/** The field whose opening quote stands at `start`, and where it ends. */
function quotedField(text: string, start: number, number: number): { value: string; end: number } {
  let value = ''
  for (let from = start + 1; ; ) {
    const quote = text.indexOf('"', from)
    if (quote < 0) throw new LowrankError('data', `field ${number} begins with a quote that is not closed`)
    value += text.slice(from, quote)
    const after = text[quote + 1]
    if (after === undefined || after === ',') return { value, end: quote + 1 }
    if (after !== '"')
      throw new LowrankError('data', `field ${number} goes on after its closing quote: a quote inside is written twice`)
    value += '"'
    from = quote + 2
  }
}

/**
 * Tabs alone tell fields apart. A field is taken out of quotes only where it begins and ends with one and all quotes
 * inside are doubled, as table programs write it; other quotes are part of the text, as in GLUE's files.
 */
function tsvFields(text: string): string[] {
  return text.split('\t').map((field) => {
    const inner = /^"((?:[^"]|"")*)"$/.exec(field)?.[1]
    return inner === undefined ? field : inner.replaceAll('""', '"')
  })
}
