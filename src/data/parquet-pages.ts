/**
 * @file Looks through a column's pages before hyparquet decodes them: a broken or hostile file may claim any count, and
 * arrays of that size would be made. Decodes no value.
 * Must not know rows. Source: the Parquet format, "Data Pages", and its RLE/bit-packing hybrid encoding.
 */
import type { ColumnMetaData, DataReader, PageHeader, SchemaTree } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js'
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js'
import { compressors, MAX_PAGE_BYTES } from './parquet-codecs.ts'

/** Values that a column of few bytes may have all the same; above it, each needs its share of bytes. */
const FREE_VALUES = 1 << 22
const VALUES_A_BYTE = 256
/** Bytes that texts which share beginnings may grow to. */
const MAX_SHARED = 1 << 30

/** Levels of a column, which decide how its pages are laid out. */
interface Levels {
  readonly repetition: number
  readonly definition: number
}

/** @throws Error saying what does not fit */
export function checkPages(chunk: Uint8Array, meta: ColumnMetaData, path: SchemaTree[]): void {
  const declared = Number(meta.num_values)
  if (!(declared >= 0 && declared <= FREE_VALUES + chunk.length * VALUES_A_BYTE))
    throw new Error(`its ${chunk.length} bytes claim ${declared} values`)
  const levels = { repetition: getMaxRepetitionLevel(path), definition: getMaxDefinitionLevel(path) }
  const reader = readerOf(chunk)
  let values = 0
  while (reader.offset < chunk.length - 1) {
    const header = parquetHeader(reader)
    const size = header.compressed_page_size
    if (!(size >= 0 && reader.offset + size <= chunk.length)) throw new Error('a page reaches beyond its column')
    const count = valuesOf(header)
    if (!(count >= 0 && count <= declared)) throw new Error(`a page claims ${count} of its column's ${declared} values`)
    if (header.type !== 'DICTIONARY_PAGE') values += count
    if (values > declared) throw new Error(`pages hold more than the ${declared} values of their column`)
    checkPage(chunk.subarray(reader.offset, reader.offset + size), header, meta, levels)
    reader.offset += size
  }
  if (values !== declared) throw new Error(`pages hold ${values} of ${declared} values`)
}

function valuesOf(header: PageHeader): number {
  const found = header.data_page_header ?? header.data_page_header_v2 ?? header.dictionary_page_header
  if (found === undefined) throw new Error(`a page is of an unknown kind (${header.type})`)
  return found.num_values
}

function checkPage(bytes: Uint8Array, header: PageHeader, meta: ColumnMetaData, levels: Levels): void {
  const size = Number(header.uncompressed_page_size)
  if (!(size >= 0 && size <= MAX_PAGE_BYTES)) throw new Error(`a page claims ${size} bytes`)
  const unpack = (packed: Uint8Array, length: number): Uint8Array => {
    const decompress = compressors[meta.codec]
    return decompress === undefined ? packed : decompress(packed, length)
  }
  const { data_page_header: first, data_page_header_v2: second } = header
  if (first !== undefined) {
    const page = readerOf(unpack(bytes, size))
    if (levels.repetition > 0) checkSized(page, levels.repetition, first.num_values)
    if (levels.definition > 0) checkSized(page, levels.definition, first.num_values)
    checkValues(page, first.encoding, first.num_values)
  } else if (second !== undefined) {
    const [repeats, defines] = [second.repetition_levels_byte_length, second.definition_levels_byte_length]
    if (!(repeats >= 0 && defines >= 0 && repeats + defines <= bytes.length))
      throw new Error('levels exceed their page')
    const page = readerOf(bytes)
    if (levels.repetition > 0) checkRuns(page, bitWidth(levels.repetition), second.num_values, repeats)
    page.offset = repeats
    if (levels.definition > 0) checkRuns(page, bitWidth(levels.definition), second.num_values, repeats + defines)
    const rest = bytes.subarray(repeats + defines)
    const packed = second.is_compressed !== false && size > repeats + defines
    const values = readerOf(packed ? unpack(rest, size - repeats - defines) : rest)
    checkValues(values, second.encoding, second.num_values)
  } else if (meta.codec === 'UNCOMPRESSED' && size !== bytes.length)
    throw new Error('a page has another size than it says')
}

/** Runs behind their length. */
function checkSized(page: DataReader, level: number, count: number): void {
  const length = page.view.getUint32(page.offset, true)
  page.offset += 4
  const end = page.offset + length
  if (end > page.view.byteLength) throw new Error('levels exceed their page')
  checkRuns(page, bitWidth(level), count, end)
  page.offset = end
}

function checkValues(page: DataReader, encoding: string, count: number): void {
  if (count === 0 || page.offset >= page.view.byteLength) return
  if (encoding === 'RLE_DICTIONARY' || encoding === 'PLAIN_DICTIONARY') {
    const width = page.view.getUint8(page.offset++)
    if (width > 32) throw new Error(`indices of ${width} bits`)
    checkRuns(page, width, count, page.view.byteLength)
  } else if (encoding === 'RLE') checkRuns({ ...page, offset: page.offset + 4 }, 1, count, page.view.byteLength)
  else if (encoding === 'DELTA_BYTE_ARRAY') {
    const shared = new Int32Array(count)
    deltaBinaryUnpack({ ...page }, count, shared)
    if (shared.some((length) => length < 0) || shared.reduce((sum, length) => sum + length, 0) > MAX_SHARED)
      throw new Error('texts that share beginnings grow too large')
  }
}

/** Walks runs of one value (an even header) and groups of eight packed ones (an odd one) up to `end`. */
function checkRuns(reader: DataReader, width: number, count: number, end: number): void {
  const { view } = reader
  for (let seen = 0; seen < count && reader.offset < end; ) {
    const header = varint(reader, end)
    const half = Math.floor(header / 2)
    const run = header % 2 === 1 ? half * 8 : half
    // The last group is filled up; some writers fill up to a block.
    if (run > count - seen + 4096) throw new Error(`a run of ${run} where ${count - seen} values are left`)
    reader.offset += header % 2 === 1 ? half * width : Math.ceil(width / 8)
    seen += run
  }
  if (reader.offset > view.byteLength + 8) throw new Error('runs exceed their page')
}

function varint(reader: DataReader, end: number): number {
  let value = 0
  for (let shift = 1; reader.offset < end; shift *= 128) {
    const byte = reader.view.getUint8(reader.offset++)
    value += (byte & 0x7f) * shift
    if (byte < 0x80) return value
    if (shift > 2 ** 28) break
  }
  throw new Error('a count that does not end')
}

function bitWidth(level: number): number {
  return 32 - Math.clz32(level)
}

function readerOf(bytes: Uint8Array): DataReader {
  return { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 }
}
