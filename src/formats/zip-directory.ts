/**
 * @file Lists the entries of a zip archive that are stored as they are, and where their bytes lie. Compressed and
 * encrypted entries are refused, and so are entries that overlap: nothing an archive says can grow in memory.
 * Must not know what an archive is for. Source: PKWARE APPNOTE 6.3.10 (4.3.7, 4.3.12, 4.3.14–4.3.16, 4.5.3).
 */
import { LowrankError } from '../support/errors.ts'
import type { ByteSource } from './byte-source.ts'

export interface ZipEntry {
  readonly name: string
  /** Where its bytes begin in the archive. */
  readonly offset: number
  readonly bytes: number
}

const LOCAL = { signature: 0x04034b50, bytes: 30 }
const CENTRAL = { signature: 0x02014b50, bytes: 46 }
const END = { signature: 0x06054b50, bytes: 22 }
const LOCATOR64 = { signature: 0x07064b50, bytes: 20 }
const END64 = { signature: 0x06064b50, bytes: 56 }
const COMMENT_CAP = 65_535
/** Far above any archive of torch's: a name and its numbers take about 100 bytes. */
const DIRECTORY_CAP = 64 * 1024 * 1024

/** Whether the first four bytes are a zip archive's. */
export function isZip(first: Uint8Array): boolean {
  return first.length >= 4 && viewOf(first).getUint32(0, true) === LOCAL.signature
}

/** The entries by name, folders left out. @throws {LowrankError} `format`; `unsupported` for compressed or encrypted ones. */
export async function readZipDirectory(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const { offset, bytes, count } = await findDirectory(source)
  const listed = parseDirectory(await source.read(offset, bytes), count, source.name)
  listed.sort((a, b) => a.header - b.header)
  const entries = new Map<string, ZipEntry>()
  for (const [i, entry] of listed.entries()) {
    const end = listed[i + 1]?.header ?? offset
    if (entries.has(entry.name)) throw fault(source.name, `holds two entries named ${shown(entry.name)}`)
    entries.set(entry.name, await locate(source, entry, end))
  }
  return entries
}

interface Directory {
  readonly offset: number
  readonly bytes: number
  readonly count: number
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const tailBytes = Math.min(source.size, END.bytes + COMMENT_CAP + LOCATOR64.bytes)
  const tailOffset = source.size - tailBytes
  const tail = viewOf(await source.read(tailOffset, tailBytes))
  const at = lastSignature(tail, END)
  if (at === undefined) throw fault(source.name, 'has no zip directory at its end: it is cut short')
  const short = {
    count: tail.getUint16(at + 10, true),
    bytes: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  }
  const locator = at - LOCATOR64.bytes
  const is64 = locator >= 0 && tail.getUint32(locator, true) === LOCATOR64.signature
  const end = is64 ? await readEnd64(source, wide(tail, locator + 8, source.name)) : short
  const limit = tailOffset + at
  if (end.bytes > DIRECTORY_CAP)
    throw fault(source.name, `claims a directory of ${end.bytes} bytes; at most ${DIRECTORY_CAP} is allowed`)
  if (end.offset + end.bytes > limit) throw fault(source.name, 'has a zip directory that lies outside the file')
  if (end.count * CENTRAL.bytes > end.bytes)
    throw fault(source.name, `claims ${end.count} entries in a directory of ${end.bytes} bytes`)
  return end
}

async function readEnd64(source: ByteSource, offset: number): Promise<Directory> {
  if (offset + END64.bytes > source.size) throw fault(source.name, 'has a zip64 record that lies outside the file')
  const view = viewOf(await source.read(offset, END64.bytes))
  if (view.getUint32(0, true) !== END64.signature) throw fault(source.name, 'has no zip64 record where it says so')
  const [count, bytes, from] = [32, 40, 48].map((at) => wide(view, at, source.name))
  return { count: count ?? 0, bytes: bytes ?? 0, offset: from ?? 0 }
}

function lastSignature(view: DataView, { signature, bytes }: typeof END): number | undefined {
  for (let at = view.byteLength - bytes; at >= 0; at--) if (view.getUint32(at, true) === signature) return at
  return undefined
}

interface Listed {
  readonly name: string
  readonly bytes: number
  /** Where its local header begins. */
  readonly header: number
}

function parseDirectory(directory: Uint8Array, count: number, file: string): Listed[] {
  const view = viewOf(directory)
  const found: Listed[] = []
  let at = 0
  for (let n = 0; n < count; n++) {
    if (at + CENTRAL.bytes > view.byteLength || view.getUint32(at, true) !== CENTRAL.signature)
      throw fault(file, `has a zip directory that breaks off at entry ${n} of ${count}`)
    const lengths = [28, 30, 32].map((field) => view.getUint16(at + field, true))
    const [nameBytes = 0, extraBytes = 0] = lengths
    const nameAt = at + CENTRAL.bytes
    const next = lengths.reduce((sum, length) => sum + length, nameAt)
    if (next > view.byteLength) throw fault(file, `has a zip directory that breaks off at entry ${n} of ${count}`)
    const name = Buffer.from(directory.subarray(nameAt, nameAt + nameBytes)).toString('utf8')
    const flags = view.getUint16(at + 8, true)
    const method = view.getUint16(at + 10, true)
    const sizes = { stored: view.getUint32(at + 20, true), bytes: view.getUint32(at + 24, true) }
    const extra = viewOf(directory.subarray(nameAt + nameBytes, nameAt + nameBytes + extraBytes))
    const full = widen({ ...sizes, header: view.getUint32(at + 42, true) }, extra, file)
    if ((flags & 1) !== 0) throw refused(file, `holds ${shown(name)} encrypted`)
    if (method !== 0) throw refused(file, `holds ${shown(name)} compressed, which torch.save never does`)
    if (full.stored !== full.bytes)
      throw fault(file, `says ${shown(name)} has ${full.bytes} bytes, ${full.stored} of them stored`)
    if (!name.endsWith('/')) found.push({ name, bytes: full.bytes, header: full.header })
    at = next
  }
  return found
}

/** Numbers of four bytes that are full stand in the zip64 field instead, in this order. */
function widen(
  short: { stored: number; bytes: number; header: number },
  extra: DataView,
  file: string,
): { stored: number; bytes: number; header: number } {
  const full = 0xffff_ffff
  const result = { ...short }
  if (short.stored !== full && short.bytes !== full && short.header !== full) return result
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + extra.getUint16(at + 2, true)) {
    if (extra.getUint16(at, true) !== 1) continue
    let from = at + 4
    for (const key of ['bytes', 'stored', 'header'] as const) {
      if (short[key] !== full) continue
      if (from + 8 > extra.byteLength) throw fault(file, 'has a zip64 field that breaks off')
      result[key] = wide(extra, from, file)
      from += 8
    }
    return result
  }
  throw fault(file, 'lacks a zip64 field where a size needs one')
}

/** The local header repeats the name and has a field of its own, so the bytes' place is known only there. */
async function locate(source: ByteSource, { name, bytes, header }: Listed, end: number): Promise<ZipEntry> {
  const outside = (): LowrankError =>
    fault(source.name, `has entry ${shown(name)} overlapping another, or lying outside the file`)
  if (header + LOCAL.bytes > end) throw outside()
  const view = viewOf(await source.read(header, LOCAL.bytes))
  if (view.getUint32(0, true) !== LOCAL.signature)
    throw fault(source.name, `has no entry ${shown(name)} where its directory says so`)
  const offset = header + LOCAL.bytes + view.getUint16(26, true) + view.getUint16(28, true)
  if (offset + bytes > end) throw outside()
  return { name, offset, bytes }
}

function wide(view: DataView, at: number, file: string): number {
  const value = view.getBigUint64(at, true)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fault(file, `holds the number ${value}, too large for any file`)
  return Number(value)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function shown(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name)
}

function fault(file: string, problem: string): LowrankError {
  return new LowrankError('format', `${file} ${problem}`, { file })
}

function refused(file: string, problem: string): LowrankError {
  return new LowrankError('unsupported', `${file} ${problem}`, { file, suggestion: 'save it again with torch.save' })
}
