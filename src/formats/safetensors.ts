/**
 * @file Parses and writes safetensors headers: `u64 length | JSON | data`, every number checked before it is believed.
 * Must not know files or models: bytes in, bytes out.
 * Source: https://github.com/huggingface/safetensors (README "Format", safetensors/src/tensor.rs).
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord, parseJsonBytes } from '../support/json.ts'
import type { DType } from '../tensor/dtype.ts'
import { type HostTensor, sizeOf } from '../tensor/host-tensor.ts'

/** The reference implementation's bound on the header; a hostile length is refused before anything is allocated. */
export const HEADER_CAP = 100_000_000
/** Bytes before the header: its length. */
export const LENGTH_BYTES = 8

/** Types that a file may list but lowrank does not compute with. */
export type ListedDType = 'f64' | 'i16' | 'i8' | 'u16' | 'u64' | 'c64' | 'c128' | `f8_${string}` | 'f6' | 'f4'

export interface TensorEntry {
  name: string
  dtype: DType | ListedDType
  shape: number[]
  /** Absolute byte offset in the file. */
  offset: number
  bytes: number
}

export interface SafetensorsHeader {
  /** In the order of the file's bytes. */
  entries: Map<string, TensorEntry>
  metadata: Record<string, string>
  /** Where the data begin. */
  dataOffset: number
}

/** Bits an element and our name, in the order of the reference's Dtype enum (which is also the order it writes in). */
const DTYPES: Record<string, { dtype: DType | ListedDType; bits: number }> = {
  BOOL: { dtype: 'bool', bits: 8 },
  F4: { dtype: 'f4', bits: 4 },
  F6_E2M3: { dtype: 'f6', bits: 6 },
  F6_E3M2: { dtype: 'f6', bits: 6 },
  U8: { dtype: 'u8', bits: 8 },
  I8: { dtype: 'i8', bits: 8 },
  F8_E5M2: { dtype: 'f8_e5m2', bits: 8 },
  F8_E4M3: { dtype: 'f8_e4m3', bits: 8 },
  F8_E8M0: { dtype: 'f8_e8m0', bits: 8 },
  F8_E4M3FNUZ: { dtype: 'f8_e4m3fnuz', bits: 8 },
  F8_E5M2FNUZ: { dtype: 'f8_e5m2fnuz', bits: 8 },
  I16: { dtype: 'i16', bits: 16 },
  U16: { dtype: 'u16', bits: 16 },
  F16: { dtype: 'f16', bits: 16 },
  BF16: { dtype: 'bf16', bits: 16 },
  I32: { dtype: 'i32', bits: 32 },
  U32: { dtype: 'u32', bits: 32 },
  F32: { dtype: 'f32', bits: 32 },
  C64: { dtype: 'c64', bits: 64 },
  F64: { dtype: 'f64', bits: 64 },
  I64: { dtype: 'i64', bits: 64 },
  U64: { dtype: 'u64', bits: 64 },
}
const SPELLINGS = Object.keys(DTYPES)
const READABLE: ReadonlySet<string> = new Set<DType>(['f32', 'f16', 'bf16', 'i64', 'i32', 'u32', 'u8', 'bool'])

/** Whether lowrank can hold such a tensor; the others are listed only. */
export function isReadable(dtype: DType | ListedDType): dtype is DType {
  return READABLE.has(dtype)
}

/** Length of the JSON header from the first eight bytes. @throws {LowrankError} `format`. */
export function parseHeaderLength(first: Uint8Array, fileBytes: number, file?: string): number {
  if (first.length < LENGTH_BYTES || fileBytes < LENGTH_BYTES)
    throw fault(`holds ${fileBytes} bytes, a safetensors file at least ${LENGTH_BYTES}`, file)
  const length = new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  if (length > BigInt(HEADER_CAP))
    throw fault(`claims a header of ${length} bytes; at most ${HEADER_CAP} is allowed`, file)
  if (Number(length) > fileBytes - LENGTH_BYTES)
    throw fault(`claims a header of ${length} bytes but holds only ${fileBytes}: it is cut short`, file)
  if (length < 2n) throw fault('has no header', file)
  return Number(length)
}

/** Parses the JSON header (without the length before it) of a file of `fileBytes` bytes. @throws {LowrankError} `format`. */
export function parseHeader(json: Uint8Array, fileBytes: number, file?: string): SafetensorsHeader {
  if (json[0] !== 0x7b) throw fault('is not a safetensors file: its header does not begin with {', file)
  const header = parseJsonBytes(json, { file, uniqueKeys: true })
  if (!isRecord(header)) throw fault('has a header that is not an object', file)
  const dataOffset = LENGTH_BYTES + json.length
  const found: TensorEntry[] = []
  for (const [name, value] of Object.entries(header))
    if (name !== '__metadata__') found.push(parseEntry(name, value, dataOffset, fileBytes, file))
  found.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  checkCoverage(found, dataOffset, fileBytes, file)
  return {
    entries: new Map(found.map((entry) => [entry.name, entry])),
    metadata: parseMetadata(header.__metadata__, file),
    dataOffset,
  }
}

/** Parses the header of a whole file in memory. @throws {LowrankError} `format`. */
export function parseSafetensors(bytes: Uint8Array, file?: string): SafetensorsHeader {
  const length = parseHeaderLength(bytes, bytes.length, file)
  return parseHeader(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length), bytes.length, file)
}

function parseEntry(name: string, value: unknown, dataOffset: number, fileBytes: number, file?: string): TensorEntry {
  const bad = (problem: string): LowrankError => fault(`tensor ${shown(name)} ${problem}`, file, name)
  if (!isRecord(value)) throw bad('is not described by an object')
  const { dtype, shape, data_offsets: offsets } = value
  const type = typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype] : undefined
  if (type === undefined) throw bad(`has dtype ${shown(dtype)}; known are ${SPELLINGS.join(', ')}`)
  if (!Array.isArray(shape) || !shape.every(isCount))
    throw bad(`has shape ${shown(shape)}, not a list of whole numbers ≥ 0`)
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw bad(`has data_offsets ${shown(offsets)}, not two whole numbers ≥ 0`)
  const [begin, end] = [Number(offsets[0]), Number(offsets[1])]
  if (end < begin || end > fileBytes - dataOffset)
    throw bad(`lies at bytes ${begin}–${end} of ${fileBytes - dataOffset}: the file is cut short or its header wrong`)
  const bits = sizeOf(shape) * type.bits
  if (!Number.isSafeInteger(bits)) throw bad(`has shape ${shown(shape)}, too large for any file`)
  if (bits !== (end - begin) * 8)
    throw bad(`of shape [${shape}] and dtype ${shown(dtype)} needs ${bits / 8} bytes, its offsets give ${end - begin}`)
  return {
    name,
    dtype: type.dtype,
    shape: shape.map((extent) => extent + 0),
    offset: dataOffset + begin,
    bytes: end - begin,
  }
}

/** Tensors must tile the data: no overlap (one would alias another), no hole (something hidden), nothing left over. */
function checkCoverage(sorted: TensorEntry[], dataOffset: number, fileBytes: number, file?: string): void {
  let at = dataOffset
  for (const { name, offset, bytes } of sorted) {
    if (offset < at)
      throw fault(`tensor ${shown(name)} overlaps the one before it at byte ${offset - dataOffset}`, file, name)
    if (offset > at) throw fault(`there is a hole of ${offset - at} bytes before tensor ${shown(name)}`, file, name)
    at = offset + bytes
  }
  if (at !== fileBytes) throw fault(`holds ${fileBytes - at} bytes that belong to no tensor`, file)
}

function parseMetadata(value: unknown, file?: string): Record<string, string> {
  if (value === undefined) return {}
  const bad = (): LowrankError => fault('has __metadata__ that is not a map from text to text', file, '__metadata__')
  if (!isRecord(value)) throw bad()
  const entries: [string, string][] = []
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw bad()
    entries.push([key, text])
  }
  return Object.fromEntries(entries)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** A value of unknown size in a message: quoted, cut. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined'
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}

function fault(problem: string, file: string | undefined, field?: string): LowrankError {
  return new LowrankError('format', `${file ?? 'safetensors'}: ${problem}`, { file, field })
}

/** What a header needs to know of a tensor. */
export interface TensorSpec {
  name: string
  dtype: DType
  shape: readonly number[]
}

/** A header ready to be written, and the tensors in the order their bytes must follow it. */
export interface SafetensorsLayout<S extends TensorSpec> {
  header: Uint8Array
  order: S[]
  totalBytes: number
}

/** Lays tensors out as the reference does (wider types first, then by name), with a header padded to eight bytes. */
export function layoutSafetensors<S extends TensorSpec>(
  specs: readonly S[],
  metadata: Record<string, string> = { format: 'pt' },
): SafetensorsLayout<S> {
  const rank = (dtype: DType): number => SPELLINGS.indexOf(dtype.toUpperCase())
  const order = [...specs].sort((a, b) => rank(b.dtype) - rank(a.dtype) || compareUtf8(a.name, b.name))
  let offset = 0
  const parts: string[] = []
  if (Object.keys(metadata).length > 0) parts.push(`"__metadata__":${JSON.stringify(metadata)}`)
  for (const { name, dtype, shape } of order) {
    const bytes = (sizeOf(shape) * (DTYPES[dtype.toUpperCase()]?.bits ?? 0)) / 8
    const described = { dtype: dtype.toUpperCase(), shape, data_offsets: [offset, offset + bytes] }
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(described)}`)
    offset += bytes
  }
  const json = new TextEncoder().encode(`{${parts.join(',')}}`)
  const padded = Math.ceil(json.length / 8) * 8
  const header = new Uint8Array(LENGTH_BYTES + padded).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true)
  header.set(json, LENGTH_BYTES)
  return { header, order, totalBytes: header.length + offset }
}

/** A whole safetensors file of tensors in memory. */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Record<string, string> = { format: 'pt' },
): Uint8Array {
  const specs = Array.from(tensors, ([name, { dtype, shape, data }]) => ({ name, dtype, shape, data }))
  const { header, order, totalBytes } = layoutSafetensors(specs, metadata)
  const file = new Uint8Array(totalBytes)
  file.set(header)
  let at = header.length
  for (const { data } of order) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at)
    at += data.byteLength
  }
  return file
}

/** Rust compares names as UTF-8 bytes, which is the order of code points; JavaScript's < compares UTF-16 units. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
