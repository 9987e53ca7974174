/**
 * @file Rows of a Parquet file as plain objects, one row group in memory at a time, through hyparquet. Lengths are checked
 * against the file before anything of their size is made.
 * Must not know what rows mean. Source: parquet.apache.org, "File Format".
 */
import { type ColumnMetaData, type FileMetaData, parquetMetadata, parquetReadObjects, parquetSchema } from 'hyparquet'
import { getTreePath } from 'hyparquet/src/schema.js'
import { LowrankError } from '../support/errors.ts'
import { fileBytes, readRange } from '../support/files.ts'
import { codecProblem, compressors } from './parquet-codecs.ts'
import { checkPages } from './parquet-pages.ts'

/** Largest footer: a file of ten thousand row groups has a few megabytes. */
const MAX_FOOTER = 1 << 28
/** Most rows of a row group; writers make ten to a hundred thousand. */
const MAX_GROUP_ROWS = 1 << 24
/** Largest column of a row group. */
const MAX_CHUNK_BYTES = 2 ** 31 - 1

type Row = Record<string, unknown>
type RowGroup = FileMetaData['row_groups'][number]

/**
 * @param wanted which of the file's columns are worth reading; where none is, rows name the columns and hold nothing
 * @throws LowrankError `format` naming the file, `unsupported` for a compression that is not read
 */
export async function* parquetRows(
  file: string,
  wanted: (columns: readonly string[]) => readonly string[] = (columns) => columns,
): AsyncGenerator<{ line: number; value: Row | LowrankError }> {
  const metadata = await readFooter(file)
  const columns = guarded(file, () => parquetSchema(metadata).children.map((child) => child.element.name))
  const chosen = wanted(columns)
  let line = 0
  for (const group of metadata.row_groups) {
    if (Number(group.num_rows) === 0) continue
    const rows = chosen.length > 0 ? await readGroup(file, metadata, group, chosen) : [emptyRow(columns)]
    for (const row of rows) yield { line: ++line, value: plainRow(row) }
  }
}

const MAGIC = 'PAR1'

async function readFooter(file: string): Promise<FileMetaData> {
  const size = await fileBytes(file)
  if (size === 0) throw broken(file, 'it is empty')
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
  const begins = size >= 12 ? text(await readRange(file, 0, 4)) : ''
  if (begins === 'PARE')
    throw new LowrankError('unsupported', `${file} is encrypted, which lowrank does not read`, { file })
  if (begins !== MAGIC) throw broken(file, 'it does not begin as one')
  const tail = await readRange(file, size - 8, 8)
  const ends = text(tail.subarray(4))
  if (ends === 'PARE')
    throw new LowrankError('unsupported', `${file} is encrypted, which lowrank does not read`, { file })
  if (ends !== MAGIC) throw broken(file, 'it does not end as one: is the file complete?')
  const length = new DataView(tail.buffer).getUint32(0, true)
  if (length > size - 12 || length > MAX_FOOTER)
    throw broken(file, `its footer claims ${length} bytes, and the file has ${size}`)
  const footer = await readRange(file, size - 8 - length, length + 8)
  const metadata = guarded(file, () => parquetMetadata(footer, { geoparquet: false }))
  guarded(file, () => checkGroups(metadata, size))
  return metadata
}

/** @throws Error where a row group or a column claims more than the file has */
function checkGroups(metadata: FileMetaData, size: number): void {
  for (const { num_rows, columns } of metadata.row_groups) {
    const rows = Number(num_rows)
    if (!(rows >= 0 && rows <= MAX_GROUP_ROWS)) throw new Error(`a row group claims ${rows} rows`)
    // Of a group without rows, writers leave the places of columns out.
    if (rows === 0) continue
    for (const { meta_data: meta } of columns) {
      if (meta === undefined) throw new Error('a column has no metadata')
      const { start, end } = rangeOf(meta)
      if (!(start >= 4 && end >= start && end <= size - 8 && end - start <= MAX_CHUNK_BYTES))
        throw new Error(`the column ${nameOf(meta)} claims bytes ${start} to ${end} of ${size}`)
    }
  }
}

function rangeOf(meta: ColumnMetaData): { start: number; end: number } {
  const start = Number(meta.dictionary_page_offset || meta.data_page_offset)
  return { start, end: start + Number(meta.total_compressed_size) }
}

async function readGroup(
  file: string,
  metadata: FileMetaData,
  group: RowGroup,
  columns: readonly string[],
): Promise<Row[]> {
  const schema = guarded(file, () => parquetSchema(metadata))
  for (const { meta_data: meta } of group.columns) {
    if (meta === undefined || !columns.includes(meta.path_in_schema[0] ?? '')) continue
    const problem = codecProblem(meta.codec)
    if (problem !== undefined)
      throw new LowrankError('unsupported', `${file}: ${problem}`, { file, field: nameOf(meta) })
    const { start, end } = rangeOf(meta)
    const chunk = await readRange(file, start, end - start)
    guarded(file, () => {
      const path = getTreePath(schema, meta.path_in_schema)
      if (path.length === 2 && Number(meta.num_values) !== Number(group.num_rows))
        throw new Error(`the column ${nameOf(meta)} has ${meta.num_values} values in ${group.num_rows} rows`)
      checkPages(chunk, meta, path)
    })
  }
  const byteLength = await fileBytes(file)
  const source = {
    byteLength,
    slice: async (start: number, end = byteLength) => (await readRange(file, start, end - start)).buffer,
  }
  const one: FileMetaData = { ...metadata, num_rows: group.num_rows, row_groups: [group] }
  try {
    return await parquetReadObjects({
      file: source,
      metadata: one,
      columns: [...columns],
      compressors,
      geoparquet: false,
    })
  } catch (error) {
    throw refused(file, error)
  }
}

/** Runs a reader whose failures are the file's fault. */
function guarded<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw refused(file, error)
  }
}

function refused(file: string, error: unknown): LowrankError {
  if (error instanceof LowrankError) return error
  return broken(file, error instanceof Error ? error.message.replace(/^parquet /, '') : String(error), error)
}

function broken(file: string, problem: string, cause?: unknown): LowrankError {
  return new LowrankError('format', `${file} is no Parquet file that can be read: ${problem}`, { file, cause })
}

function nameOf(meta: ColumnMetaData): string {
  return meta.path_in_schema.join('.')
}

function emptyRow(columns: readonly string[]): Row {
  return Object.fromEntries(columns.map((name) => [name, null]))
}

/** The row with numbers for 64-bit integers; fields of structs that are null are left out, as JSON rows leave them out. */
function plainRow(row: Row): Row | LowrankError {
  try {
    return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value, name)]))
  } catch (error) {
    if (error instanceof LowrankError) return error
    throw error
  }
}

function plain(value: unknown, column: string): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value)
    if (Number.isSafeInteger(number)) return number
    throw new LowrankError('data', `${column} is ${value}, which is too large for a number`, { field: column })
  }
  if (value === undefined) return null
  if (Array.isArray(value)) return value.map((item: unknown) => plain(item, column))
  if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) return value
  if (value instanceof Date) return value.toISOString()
  // `content` may be null by intent: an assistant turn that only calls tools.
  const fields = Object.entries(value).filter(([name, field]) => field != null || name === 'content')
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field, column)]))
}
