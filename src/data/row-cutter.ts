/**
 * @file Cuts bytes, as they stream in, into the bytes of rows: lines, and what all cutters share.
 * Must not know files or what a row means.
 */

/** The bytes of one row, whitespace around it taken off where it means nothing. */
export interface RawRow {
  /** Line on which it begins, from 1. */
  line: number
  bytes: Uint8Array
  /** Why it cannot be a row; `bytes` is empty then. */
  problem?: string
  /** The file ends with this row, without a line end: it may be torn. */
  last?: boolean
}

export interface RowCutter {
  push(chunk: Uint8Array): RawRow[]
  /** What is left at the end of the file. */
  end(): RawRow[]
}

export const NEWLINE = 0x0a

/** Bytes of the row being read, at most `maxBytes` of them kept. */
export class RowBuffer {
  readonly #parts: Uint8Array[] = []
  readonly #maxBytes: number
  readonly #trims: boolean
  #bytes = 0

  /** @param trims whether whitespace around a row means nothing */
  constructor(maxBytes: number, trims = true) {
    this.#maxBytes = maxBytes
    this.#trims = trims
  }

  add(part: Uint8Array): void {
    this.#bytes += part.length
    if (this.#bytes <= this.#maxBytes && part.length > 0) this.#parts.push(part)
  }

  /** The row, or undefined where there is nothing but whitespace. */
  take(line: number): RawRow | undefined {
    const long = this.#bytes > this.#maxBytes
    const whole = long ? new Uint8Array() : Buffer.concat(this.#parts)
    const bytes = this.#trims ? trim(whole) : withoutReturn(whole)
    this.#parts.length = 0
    this.#bytes = 0
    if (long) return { line, bytes, problem: `the row has more than ${this.#maxBytes} bytes` }
    return bytes.length === 0 ? undefined : { line, bytes }
  }
}

/** A row a line. */
export class LineCutter implements RowCutter {
  readonly #row: RowBuffer
  #line = 1

  constructor(maxBytes: number, trims = true) {
    this.#row = new RowBuffer(maxBytes, trims)
  }

  push(chunk: Uint8Array): RawRow[] {
    const rows: RawRow[] = []
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#row.add(chunk.subarray(from, end))
      const row = this.#row.take(this.#line++)
      if (row !== undefined) rows.push(row)
      from = end + 1
    }
    this.#row.add(chunk.subarray(from))
    return rows
  }

  end(): RawRow[] {
    const row = this.#row.take(this.#line)
    return row === undefined ? [] : [{ ...row, last: true }]
  }
}

export function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d && byte !== 0x0b && byte !== 0x0c)
}

function trim(bytes: Uint8Array): Uint8Array {
  let [start, end] = [0, bytes.length]
  while (start < end && isSpace(bytes[start] ?? 0)) start++
  while (end > start && isSpace(bytes[end - 1] ?? 0)) end--
  return bytes.subarray(start, end)
}

/** A line ended by CR and LF: the CR is no part of it. */
function withoutReturn(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes
}
