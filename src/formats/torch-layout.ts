/**
 * @file Finds the pickle of a torch file and the place of every storage, in the zip format and the one before it.
 * Nothing but the pickle and small headers is read. Must not know what tensors are for.
 * Source: torch/serialization.py (_save, _legacy_save), 2.15.
 */
import { LowrankError } from '../support/errors.ts'
import type { ByteSource } from './byte-source.ts'
import { PickleDict, PickleList, type PickleValue, runPickle } from './pickle.ts'
import { TORCH_BYTES, type TorchStorage, torchHost } from './torch-values.ts'
import { isZip, readZipDirectory, type ZipEntry } from './zip-directory.ts'

/** A state dictionary of 100,000 tensors takes about 20 MB. */
const PICKLE_CAP = 64 * 1024 * 1024

/** Bytes of a storage in the file. */
export interface Place {
  readonly offset: number
  readonly bytes: number
}

export interface TorchLayout {
  readonly format: 'zip' | 'legacy'
  /** What was saved. */
  readonly value: PickleValue
  /** @throws {LowrankError} `format` where the file has no such storage, or less of it than the pickle says. */
  place(storage: TorchStorage): Place
}

/** Reads a torch file's structure. @throws {LowrankError} `format`, `unsupported`, naming the file. */
export async function readTorchLayout(source: ByteSource): Promise<TorchLayout> {
  const first = await source.read(0, Math.min(source.size, MAGIC.length))
  if (isZip(first)) return await readZip(source)
  if (Buffer.from(first).equals(MAGIC)) return await readLegacy(source)
  if (isTar(await source.read(0, Math.min(source.size, 512))))
    throw refused(source.name, 'is a tar archive, as torch wrote before version 0.1.10')
  throw fault(source.name, 'is no torch file: it begins neither as a zip archive nor with torch’s magic number')
}

async function readZip(source: ByteSource): Promise<TorchLayout> {
  const entries = await readZipDirectory(source)
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name))
  const [pickle] = pickles
  if (pickle === undefined || pickles.length > 1)
    throw fault(source.name, `holds ${pickles.length} files data.pkl; a torch file has one`)
  const root = pickle.slice(0, -'data.pkl'.length)
  await checkByteOrder(source, entries.get(`${root}byteorder`))
  const { offset, bytes } = entries.get(pickle) ?? { offset: 0, bytes: 0 }
  if (bytes > PICKLE_CAP) throw fault(source.name, `has a pickle of ${bytes} bytes; at most ${PICKLE_CAP} are read`)
  const { value } = runPickle(await source.read(offset, bytes), torchHost(source.name), source.name)
  const find = (key: string): Place | undefined => entries.get(`${root}data/${key}`)
  return { format: 'zip', value, place: (storage) => placed(source.name, storage, find(storage.key)) }
}

async function checkByteOrder(source: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (entry === undefined) return
  const order = Buffer.from(await source.read(entry.offset, Math.min(entry.bytes, 16))).toString('latin1')
  if (order !== 'little') throw refused(source.name, `stores its numbers in byte order ${JSON.stringify(order)}`)
}

/** 0x1950a86a20f9469cfc6c as a pickle of its own, as protocol 2 writes it. */
const MAGIC = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex')
const PROTOCOL = 1001

/** Five pickles (magic, protocol, system, object, storage keys), then each storage: its count as i64, its bytes. */
async function readLegacy(source: ByteSource): Promise<TorchLayout> {
  const { name: file } = source
  const head = await source.read(0, Math.min(source.size, PICKLE_CAP))
  const host = torchHost(file)
  const storages = new Map<string, TorchStorage>()
  const noting = {
    ...host,
    persistent: (id: PickleValue): PickleValue => {
      const storage = host.persistent(id)
      if (isStorage(storage)) storages.set(storage.key, storage)
      return storage
    },
  }
  let at = MAGIC.length
  const next = (): PickleValue => {
    const { value, end } = runPickle(head, noting, file, at)
    at = end
    return value
  }
  const protocol = next()
  if (protocol !== PROTOCOL) throw fault(file, `has torch’s protocol ${String(protocol)}; ${PROTOCOL} is read`)
  checkSystem(next(), file)
  const value = next()
  const keys = next()
  if (!(keys instanceof PickleList)) throw fault(file, 'has no list of its storages')
  const places = await legacyPlaces(source, keys.items, storages, at)
  return { format: 'legacy', value, place: (storage) => placed(file, storage, places.get(storage.key)) }
}

function isStorage(value: PickleValue): value is TorchStorage {
  return typeof value === 'object' && value !== null && 'key' in value && 'count' in value
}

function checkSystem(system: PickleValue, file: string): void {
  const little = system instanceof PickleDict && system.entries.find(([key]) => key === 'little_endian')?.[1]
  if (little !== true) throw refused(file, 'stores its numbers in big-endian byte order')
}

async function legacyPlaces(
  source: ByteSource,
  keys: readonly PickleValue[],
  storages: ReadonlyMap<string, TorchStorage>,
  start: number,
): Promise<Map<string, Place>> {
  const places = new Map<string, Place>()
  let at = start
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined
    if (storage === undefined || places.has(storage.key))
      throw fault(source.name, `lists a storage that no tensor uses, or lists one twice`)
    if (at + 8 > source.size) throw fault(source.name, `is cut short before storage ${storage.key}`)
    const held = await source.read(at, 8)
    const count = new DataView(held.buffer, held.byteOffset, 8).getBigInt64(0, true)
    if (count !== BigInt(storage.count))
      throw fault(source.name, `holds ${count} elements of storage ${storage.key}, its pickle says ${storage.count}`)
    const bytes = bytesOf(source.name, storage)
    if (bytes > source.size - at - 8) throw fault(source.name, `is cut short in storage ${storage.key}`)
    places.set(storage.key, { offset: at + 8, bytes })
    at += 8 + bytes
  }
  return places
}

function placed(file: string, storage: TorchStorage, found: Place | undefined): Place {
  if (found === undefined) throw fault(file, `lacks storage ${JSON.stringify(storage.key)}, which a tensor uses`)
  const bytes = bytesOf(file, storage)
  if (bytes > found.bytes)
    throw fault(file, `holds ${found.bytes} bytes of storage ${storage.key}, its pickle says ${bytes}`)
  return { offset: found.offset, bytes }
}

function bytesOf(file: string, { key, dtype, count }: TorchStorage): number {
  const size = TORCH_BYTES[dtype]
  const bytes = size === undefined ? Number.NaN : size * count
  if (!Number.isSafeInteger(bytes)) throw fault(file, `has storage ${key} of ${count} elements, too large for any file`)
  return bytes
}

function isTar(first: Uint8Array): boolean {
  return Buffer.from(first.subarray(257, 262)).toString('latin1') === 'ustar'
}

function fault(file: string, problem: string): LowrankError {
  return new LowrankError('format', `${file} ${problem}`, { file })
}

function refused(file: string, problem: string): LowrankError {
  return new LowrankError('unsupported', `${file} ${problem}`, {
    file,
    suggestion: 'save it again with a newer torch, or as safetensors',
  })
}
