/**
 * @file Cuts CSV into records: a line end inside a quoted field is part of it. Fields are split in delimited-rows.ts.
 * Must not know columns. Source: RFC 4180.
 */
import { LowrankError } from '../support/errors.ts'
import { NEWLINE, type RawRow, RowBuffer, type RowCutter } from './row-cutter.ts'

const QUOTE = 0x22
const COMMA = 0x2c

/** `quote`: a quote was seen inside a quoted field, which ends it unless another follows. */
type Place = 'start' | 'plain' | 'quoted' | 'quote'

export class CsvCutter implements RowCutter {
  readonly #file: string
  readonly #row: RowBuffer
  #place: Place = 'start'
  #line = 1
  /** Line on which the record begins. */
  #first = 1

  constructor(file: string, maxBytes: number) {
    this.#file = file
    this.#row = new RowBuffer(maxBytes, false)
  }

  push(chunk: Uint8Array): RawRow[] {
    const rows: RawRow[] = []
    let from = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] ?? 0
      if (byte === NEWLINE) this.#line++
      if (byte !== NEWLINE || this.#place === 'quoted') {
        this.#place = next(this.#place, byte)
        continue
      }
      this.#row.add(chunk.subarray(from, i))
      from = i + 1
      rows.push(...this.#take())
    }
    this.#row.add(chunk.subarray(from))
    return rows
  }

  /** @throws LowrankError `data` inside quotes: the rest of the file is no single bad row that could be skipped */
  end(): RawRow[] {
    if (this.#place === 'quoted') {
      const file = `${this.#file}:${this.#first}`
      const message = `${file}: a field begins with a quote that is not closed, and takes in the rest of the file`
      throw new LowrankError('data', message, { file })
    }
    return this.#take().map((row) => ({ ...row, last: true }))
  }

  #take(): RawRow[] {
    const row = this.#row.take(this.#first)
    this.#first = this.#line
    this.#place = 'start'
    return row === undefined ? [] : [row]
  }
}

function next(place: Place, byte: number): Place {
  if (place === 'quoted') return byte === QUOTE ? 'quote' : 'quoted'
  if (byte === COMMA) return 'start'
  if (byte === QUOTE && place !== 'plain') return 'quoted'
  // The CR of a line end does not begin a field, nor does it undo the quote that ended one.
  return byte === 0x0d && place === 'quote' ? 'quote' : 'plain'
}
