/**
 * @file Cuts files (JSONL, JSON arrays, CSV, TSV) into the texts of their rows, streamed, each row bounded in length.
 * Must not know what a row means. Source: RFC 8259 (JSON), jsonlines.org.
 */
import { open } from 'node:fs/promises'
import { LowrankError } from '../support/errors.ts'
import { fileError } from '../support/files.ts'
import { CsvCutter } from './csv-cutter.ts'
import { isSpace, LineCutter, NEWLINE, type RawRow, RowBuffer, type RowCutter } from './row-cutter.ts'

/** Longest row by default. */
export const MAX_ROW_BYTES = 64 * 2 ** 20
const CHUNK_BYTES = 2 ** 18

/**
 * Rows of a file: a `.json` file that begins with `[` is an array, rows of a `.csv` file end outside quotes, anything else
 * has a row a line. Blank lines are none.
 * @throws LowrankError `missing`, `io`, or `data` for an array or a quote that is not closed and for UTF-16
 */
export async function* rawRows(file: string, maxBytes = MAX_ROW_BYTES): AsyncGenerator<RawRow> {
  let cutter: RowCutter | undefined
  for await (const chunk of readChunks(file)) {
    cutter ??= cutterFor(file, chunk, maxBytes)
    yield* cutter.push(chunk)
  }
  if (cutter !== undefined) yield* cutter.end()
}

async function* readChunks(file: string): AsyncGenerator<Uint8Array> {
  try {
    const handle = await open(file, 'r')
    try {
      for (let first = true; ; first = false) {
        const { bytesRead, buffer } = await handle.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES)
        if (bytesRead === 0) return
        const chunk = buffer.subarray(0, bytesRead)
        yield first ? withoutMark(file, chunk) : chunk
      }
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw fileError(error, file, 'read')
  }
}

/** Drops a UTF-8 byte order mark; refuses UTF-16 by name, which some Windows tools write. */
function withoutMark(file: string, chunk: Uint8Array): Uint8Array {
  const [a, b, c] = chunk
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff))
    throw new LowrankError('data', `${file} is UTF-16 text: save it as UTF-8`, { file })
  return a === 0xef && b === 0xbb && c === 0xbf ? chunk.subarray(3) : chunk
}

function cutterFor(file: string, chunk: Uint8Array, maxBytes: number): RowCutter {
  const name = file.toLowerCase()
  if (name.endsWith('.csv')) return new CsvCutter(file, maxBytes)
  if (name.endsWith('.tsv')) return new LineCutter(maxBytes, false)
  return isArray(name, chunk) ? new ArrayCutter(file, maxBytes) : new LineCutter(maxBytes)
}

function isArray(file: string, chunk: Uint8Array): boolean {
  return file.endsWith('.json') && chunk.find((byte) => !isSpace(byte)) === 0x5b
}

/** Elements of a top-level array. Only brackets, commas and strings are looked at; the rest is JSON.parse's matter. */
class ArrayCutter implements RowCutter {
  readonly #file: string
  readonly #row: RowBuffer
  #line = 1
  /** Line of the element's first byte; 0 before it. */
  #rowLine = 0
  /** Open brackets; 1 is the array itself, 0 before and after it. */
  #depth = 0
  #closed = false
  #inString = false
  #escaped = false

  constructor(file: string, maxBytes: number) {
    this.#file = file
    this.#row = new RowBuffer(maxBytes)
  }

  push(chunk: Uint8Array): RawRow[] {
    const rows: RawRow[] = []
    let from = 0
    chunk.forEach((byte, i) => {
      if (byte === NEWLINE) this.#line++
      if (isSpace(byte)) return
      if (this.#depth === 0) {
        this.#open(byte)
        from = i + 1
      } else if (this.#separates(byte)) {
        this.#row.add(chunk.subarray(from, i))
        rows.push(...this.#take(byte === 0x2c))
        from = i + 1
      } else if (this.#rowLine === 0) this.#rowLine = this.#line
    })
    if (this.#depth > 0) this.#row.add(chunk.subarray(from))
    return rows
  }

  end(): RawRow[] {
    if (!this.#closed) throw this.#refuse('the array is not closed: the file is cut off')
    return []
  }

  #open(byte: number): void {
    if (byte !== 0x5b || this.#closed) throw this.#refuse('expected nothing after the array')
    this.#depth = 1
  }

  /** Whether this byte ends an element: a comma at the array's own level, or its closing bracket. */
  #separates(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false
      else if (byte === 0x5c) this.#escaped = true
      else if (byte === 0x22) this.#inString = false
      return false
    }
    if (byte === 0x22) this.#inString = true
    else if (byte === 0x7b || byte === 0x5b) this.#depth++
    else if (byte === 0x7d || byte === 0x5d) {
      this.#depth--
      this.#closed = this.#depth === 0
      return this.#closed
    }
    return byte === 0x2c && this.#depth === 1
  }

  #take(comma: boolean): RawRow[] {
    const row = this.#row.take(this.#rowLine || this.#line)
    this.#rowLine = 0
    if (row !== undefined) return [row]
    if (comma) throw this.#refuse('a comma without a row before it')
    return []
  }

  #refuse(problem: string): LowrankError {
    const file = `${this.#file}:${this.#line}`
    return new LowrankError('data', `${file}: ${problem}`, { file })
  }
}
