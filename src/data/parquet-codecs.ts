/**
 * @file Decompresses Parquet pages, bounded by what a page may hold. Must not know pages.
 * Snappy is hyparquet's own; gzip, Brotli and (where Node has it) Zstandard are Node's.
 */
import * as zlib from 'node:zlib'
import { type CompressionCodec, snappyUncompress } from 'hyparquet'

/** Largest page when decompressed; writers aim at one MiB. */
export const MAX_PAGE_BYTES = 1 << 28
/** A copy of 64 bytes takes three: no Snappy page grows more than this. */
const SNAPPY_RATIO = 24

type Decompress = (input: Uint8Array, length: number) => Uint8Array

/** Node 22.15 and later have it. */
const zstd: unknown = Reflect.get(zlib, 'zstdDecompressSync')

const CODECS: Readonly<Partial<Record<CompressionCodec, Decompress>>> = {
  SNAPPY(input, length) {
    if (length > input.length * SNAPPY_RATIO + 64) throw new Error(`a page of ${input.length} bytes claims ${length}`)
    const output = new Uint8Array(length)
    snappyUncompress(input, output)
    return output
  },
  GZIP: (input, length) => zlib.gunzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input, length) => zlib.brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
  ...(typeof zstd === 'function'
    ? { ZSTD: (input: Uint8Array, length: number) => bytesOf(zstd(input, { maxOutputLength: Math.max(1, length) })) }
    : {}),
}

/** What reads each codec, every output bounded. */
export const compressors: Readonly<Partial<Record<CompressionCodec, Decompress>>> = Object.fromEntries(
  Object.entries(CODECS).map(([codec, decompress]) => [
    codec,
    (input: Uint8Array, length: number) => {
      if (!(length >= 0 && length <= MAX_PAGE_BYTES)) throw new Error(`a page claims ${length} bytes`)
      const output = decompress(input, length)
      if (output.length !== length) throw new Error(`a page has ${output.length} bytes and claims ${length}`)
      return output
    },
  ]),
)

/** Why a codec is not read, or undefined where it is. */
export function codecProblem(codec: CompressionCodec): string | undefined {
  if (codec === 'UNCOMPRESSED' || compressors[codec] !== undefined) return undefined
  const known = ['none', ...Object.keys(compressors).map((name) => name.toLowerCase())].join(', ')
  const later = codec === 'ZSTD' ? ` (Zstandard needs Node 22.15 or later; this is ${process.version})` : ''
  return `it is compressed with ${codec}; lowrank reads ${known}${later}`
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new Error('no bytes came out of a page')
}
