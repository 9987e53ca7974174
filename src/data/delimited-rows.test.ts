import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isLowrankError, LowrankError } from '../support/errors.ts'
import { type ReadRowsOptions, readRows } from './rows.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-tables-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Lines and rows; what is no row is its message. */
async function read(
  content: string | Uint8Array,
  name = 'rows.csv',
  options: ReadRowsOptions = {},
): Promise<[number, unknown][]> {
  const file = join(folder, name)
  await writeFile(file, content)
  const rows: [number, unknown][] = []
  for await (const { line, value } of readRows([file], options))
    rows.push([line, value instanceof LowrankError ? value.message : value])
  return rows
}
const values = async (content: string, name?: string): Promise<unknown[]> =>
  (await read(content, name)).map(([, value]) => value)

describe('CSV', () => {
  it('has quoted fields with commas, quotes and line ends, and names the line a row begins on', async () => {
    const text = '\uFEFFprompt,completion\r\n"a, ""b""\nc",d\r\n\r\n e ,"f"\n,""'
    expect(await read(text)).toEqual([
      [2, { prompt: 'a, "b"\nc', completion: 'd' }],
      [5, { prompt: ' e ', completion: 'f' }],
      [6, { prompt: '', completion: '' }],
    ])
  })

  it('keeps texts as they stand; labels that are numbers are numbers; lists are JSON', async () => {
    expect(await values('text,label\n007,1\ntrue,-2.5e1\n1,007\n,good\n2,\n')).toEqual([
      { text: '007', label: 1 },
      { text: 'true', label: -25 },
      { text: '1', label: '007' },
      { text: '', label: 'good' },
      { text: '2', label: null },
    ])
    expect(await values('input_ids,labels\n"[1, 2]","[-100, 2]"\n[3],\n')).toEqual([
      { input_ids: [1, 2], labels: [-100, 2] },
      { input_ids: [3] },
    ])
    expect(await values('messages,tools\n"[{""role"":""user"",""content"":""a,b""}]",\n')).toEqual([
      { messages: [{ role: 'user', content: 'a,b' }] },
    ])
  })

  it('says what is wrong with a row, and goes on', async () => {
    expect(await read('a,b\n1\n1,2,3\n"x"y,1\n"[1, 2"\n1,2\n')).toEqual([
      [2, 'the row has 1 fields, and the header names 2'],
      [3, 'the row has 3 fields, and the header names 2'],
      [4, 'field 1 goes on after its closing quote: a quote inside is written twice'],
      [5, 'the row has 1 fields, and the header names 2'],
      [6, { a: '1', b: '2' }],
    ])
    const long = await read(`a,b\n1,"${'x'.repeat(99)}"\n`, 'rows.csv', { maxBytes: 50 })
    expect(long).toEqual([[2, 'the row has more than 50 bytes']])
    expect(await values("messages\n\"[{'role': 'user'}]\"\n")).toEqual([
      expect.stringMatching(/^messages holds no JSON/),
    ])
    expect(await read(Buffer.from([...Buffer.from('a\n'), 0xff, 0x0a]))).toEqual([[2, 'the row is not UTF-8 text']])
  })

  it('with a quote that is not closed is refused whole: a bad row that is skipped would hide all after it', async () => {
    await expect(read('a,b\n1,2\n3,"4\n5,6\n7,8')).rejects.toThrow(
      /rows\.csv:3: a field begins with a quote that is not closed, and takes in the rest of the file/,
    )
  })

  it('separated by anything but commas is told by its header', async () => {
    await expect(read('text;label\na;1\n')).rejects.toThrow(/rows\.csv:1: .* separated by semicolons/)
    await expect(read('text\tlabel\na\t1\n')).rejects.toThrow(/separated by tabs.*\.tsv/)
    expect(await values('text\na;1\n')).toEqual([{ text: 'a;1' }])
  })

  it('keeps quotes inside fields that are not quoted', async () => {
    expect(await values('a,b\n5" pipe,x"y\n')).toEqual([{ a: '5" pipe', b: 'x"y' }])
  })

  it.each<[string, string | Uint8Array, RegExp]>([
    ['a column named twice', 'a,b,a\n1,2,3\n', /rows\.csv:1: the header cannot be read: the column a stands twice/],
    ['line ends of CR alone', 'a,b\r1,2\r3,4', /rows\.csv:1: .*CR alone/],
    ['UTF-16', Buffer.from('\uFEFFa,b\n1,2\n', 'utf16le'), /rows\.csv is UTF-16 text: save it as UTF-8/],
    ['UTF-16, big end first', Buffer.from('\uFEFFa,b\n1,2\n', 'utf16le').swap16(), /is UTF-16 text/],
    ['Latin-1', Buffer.from('a,é\n1,2\n', 'latin1'), /rows\.csv:1: the header cannot be read: the row is not UTF-8/],
  ])('refuses a file with %s', async (_name, content, message) => {
    await expect(read(content)).rejects.toThrow(message)
  })

  it('gives any table back', async () => {
    const cell = fc.string({ unit: fc.constantFrom('a', 'é', '🙂', '"', ',', '\n', '\r\n', '\t', ' ') })
    const table = fc.array(fc.tuple(cell, cell), { minLength: 1 })
    await fc.assert(
      fc.asyncProperty(table, fc.constantFrom('\n', '\r\n'), async (rows, end) => {
        const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
        const text = `one,two${end}${rows.map((row) => row.map(quoted).join(',') + end).join('')}`
        expect(await values(text)).toEqual(rows.map(([one, two]) => ({ one, two })))
      }),
      { numRuns: 100 },
    )
  })

  it('never fails but with a LowrankError, whatever bytes it has', async () => {
    const bytes = fc.uint8Array({ maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom('m.csv', 'm.tsv'), async (bytes, name) => {
        const outcome = await read(Buffer.concat([Buffer.from('text,label\n"a",'), bytes]), name).catch(
          (e: unknown) => e,
        )
        expect(Array.isArray(outcome) || isLowrankError(outcome)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })
})

describe('TSV', () => {
  it('is split at tabs alone; quotes count where a table program put them', async () => {
    const text = 'text\tlabel\n"He said" no\t0\n\t1\n"a ""b"""\tx\n"he said\t1\r\n'
    expect(await values(text, 'rows.tsv')).toEqual([
      { text: '"He said" no', label: 0 },
      { text: '', label: 1 },
      { text: 'a "b"', label: 'x' },
      { text: '"he said', label: 1 },
    ])
    expect(await values('a\tb\n1\t2\t3\n', 'rows.tsv')).toEqual(['the row has 3 fields, and the header names 2'])
  })
})
