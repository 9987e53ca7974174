import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as zlib from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import golden from '../../test/goldens/data/rows.json' with { type: 'json' }
import { isLowrankError, LowrankError } from '../support/errors.ts'
import { isRecord } from '../support/json.ts'
import { RandomStream } from '../support/random.ts'
import { parquetRows } from './parquet-rows.ts'
import { rowColumns } from './row-format.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-parquet-'))
afterAll(() => rmSync(folder, { recursive: true }))

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../test/goldens/data/${name}.parquet`, import.meta.url))

async function read(
  file: string,
  wanted: (columns: readonly string[]) => readonly string[] = rowColumns,
): Promise<unknown[]> {
  const rows: unknown[] = []
  for await (const { line, value } of parquetRows(file, wanted)) {
    expect(line).toBe(rows.length + 1)
    if (value instanceof LowrankError) throw value
    rows.push(value)
  }
  return rows
}

/** As pyarrow reads it, without the nulls that structs are filled up with. */
function lean(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lean)
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, field]) =>
      field === null && name !== 'content' ? [] : [[name, lean(field)]],
    ),
  )
}
const structs = (rows: Record<string, unknown>[]): unknown[] =>
  rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, field]) => [name, lean(field)])))

/** A file of bytes that are not Parquet any more. */
function written(bytes: Uint8Array): string {
  const file = join(folder, 'broken.parquet')
  writeFileSync(file, bytes)
  return file
}

describe('rows equal what pyarrow reads', () => {
  it('nested messages with nulls', async () => {
    expect(await read(fixture('messages'))).toEqual(structs(golden.messages))
  })
  it('labels and floats', async () => {
    expect(await read(fixture('labels'), (columns) => columns)).toEqual(golden.labels)
  })
  it.each(['ids', 'ids-delta'])('lists of numbers: %s', async (name) => {
    expect(await read(fixture(name))).toEqual(golden.ids)
  })
  const zstd = 'zstdDecompressSync' in zlib
  it.each(['gzip', 'brotli', 'plain', 'delta', ...(zstd ? ['zstd'] : [])])('texts: %s', async (name) => {
    const rows = await read(fixture(`prompts-${name}`))
    expect(rows).toHaveLength(300)
    expect([0, 1, 127, 128, 299].map((i) => rows[i])).toEqual(golden.prompts)
  })
  // Without a dictionary pyarrow leaves the places of columns at 0.
  it.each(['none', 'none-plain'])('no rows: %s', async (name) => {
    expect(await read(fixture(name))).toEqual([])
  })
  it('only columns that rows are made of; all names where there are none', async () => {
    const [row] = await read(fixture('messages'))
    expect(Object.keys(isRecord(row) ? row : {})).toEqual(['messages', 'tools'])
    expect(await read(fixture('labels'), () => [])).toEqual([{ text: null, label: null, score: null }])
  })
  it('numbers that JavaScript cannot hold are refused with their column', async () => {
    await expect(read(fixture('messages'), (columns) => columns)).rejects.toThrow(/unused is 1152921504606846976/)
  })
})

describe('what is not read is refused by name', () => {
  it('compression', async () => {
    await expect(read(fixture('prompts-lz4'))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/compressed with LZ4.*; lowrank reads none, snappy, gzip, brotli/),
    })
  })
  const whole = readFileSync(fixture('messages'))
  const footerAt = whole.length - 8 - whole.readUInt32LE(whole.length - 8)
  it.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(), /it is empty/],
    ['other bytes', Buffer.from('{"text":"a"}\n{"text":"b"}\n'), /does not begin as one/],
    ['cut off', whole.subarray(0, -100), /does not end as one: is the file complete/],
    ['without its first bytes', whole.subarray(4), /does not begin as one/],
    [
      'a footer longer than the file',
      patched(whole, whole.length - 8, 0xf0, 0xff, 0xff, 0x7f),
      /its footer claims 2147483632 bytes/,
    ],
    [
      'a footer of zeros',
      Buffer.concat([whole.subarray(0, footerAt), Buffer.alloc(whole.length - 8 - footerAt), whole.subarray(-8)]),
      /can be read/,
    ],
    ['encrypted', Buffer.concat([whole.subarray(0, -4), Buffer.from('PARE')]), /encrypted/],
  ])('%s', async (_name, bytes, message) => {
    const file = written(bytes)
    await expect(read(file)).rejects.toMatchObject({ file, message: expect.stringMatching(message) })
  })
})

function patched(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy.set(values, at)
  return copy
}

describe('mutated bytes', () => {
  it.each(['messages', 'prompts-gzip', 'prompts-plain', 'prompts-delta', 'ids', 'ids-delta', 'labels'])(
    'of %s give rows or a LowrankError, and no great arrays',
    async (name) => {
      const original = readFileSync(fixture(name))
      const random = new RandomStream(20261125, `parquet/${name}`)
      const before = process.memoryUsage().rss
      for (let n = 0; n < 150; n++) {
        const bytes = Uint8Array.from(original)
        for (let k = 0; k <= n % 3; k++) bytes[random.below(bytes.length)] = random.below(256)
        const outcome = await read(written(bytes)).catch((error: unknown) => error)
        if (!Array.isArray(outcome) && !isLowrankError(outcome)) throw new Error(`mutation ${n}`, { cause: outcome })
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(1.5 * 2 ** 30)
    },
  )
})
