/**
 * @file Reads the tensors of torch files (`.bin`, `.pt`, `.pth`): state dictionaries, with nothing of them executed.
 * Every size is checked against the file before memory is taken. Must not know what the tensors are for.
 */
import { LowrankError } from '../support/errors.ts'
import { BYTES, type DType } from '../tensor/dtype.ts'
import { type HostTensor, sizeOf } from '../tensor/host-tensor.ts'
import type { WeightRef } from '../tensor/weight-ref.ts'
import { type ByteSource, fileSource } from './byte-source.ts'
import { PickleDict, type PickleValue } from './pickle.ts'
import { isReadable, type ListedDType } from './safetensors.ts'
import { asRead, viewTensor } from './tensor-files.ts'
import { readTorchLayout, type TorchLayout } from './torch-layout.ts'
import { describe, TORCH_BYTES, TorchView } from './torch-values.ts'

export interface TorchEntry {
  readonly name: string
  readonly dtype: DType | ListedDType
  readonly shape: readonly number[]
  /** Elements from one index to the next, by side. */
  readonly strides: readonly number[]
  /** Absolute byte offset in the file of its first element. */
  readonly offset: number
  /** From its first element to its last, as they lie in the file. */
  readonly span: number
  /** Of the tensor by itself. */
  readonly bytes: number
  /** Its elements lie in order, without gaps: a `WeightRef` can name them. */
  readonly contiguous: boolean
}

export interface TorchHeader {
  readonly file: string
  readonly format: 'zip' | 'legacy'
  readonly entries: Map<string, TorchEntry>
  /** Entries of the dictionary that are no tensors, by name. */
  readonly others: readonly string[]
}

/** Whether a file's name says that torch wrote it. */
export function isTorchName(file: string): boolean {
  return /\.(bin|pt|pth|ckpt|pkl)$/i.test(file)
}

/** Lists the tensors of a torch file. @throws {LowrankError} `missing`, `io`, `format`, `unsupported`, naming the file. */
export async function readTorchHeader(file: string): Promise<TorchHeader> {
  return await parseTorch(await fileSource(file))
}

/** The same of any bytes. */
export async function parseTorch(source: ByteSource): Promise<TorchHeader> {
  const layout = await readTorchLayout(source)
  const entries = new Map<string, TorchEntry>()
  const others: string[] = []
  for (const [key, value] of stateDict(layout.value, source.name)) {
    if (value instanceof TorchView) entries.set(key, entryOf(key, value, layout, source.name))
    else others.push(key)
  }
  if (entries.size === 0) throw noTensors(source.name, others)
  return { file: source.name, format: layout.format, entries, others }
}

function noTensors(file: string, others: readonly string[]): LowrankError {
  const some = others.slice(0, 5).map(cut).join(', ')
  const held = some === '' ? 'it is empty' : `it has ${some}${others.length > 5 ? ', …' : ''}`
  return new LowrankError('format', `${file} holds no tensors: ${held}`, { file })
}

/** Names that training code keeps a model's state dictionary under. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model', 'module']

/** The dictionary that holds the tensors: what was saved, or what it has under one of the usual names. */
function stateDict(value: PickleValue, file: string): [string, PickleValue][] {
  if (!(value instanceof PickleDict))
    throw new LowrankError('format', `${file} holds ${describe(value)}, not a dictionary of tensors`, { file })
  const named = namedEntries(value)
  if (named.some(([, held]) => held instanceof TorchView)) return named
  for (const wrapper of WRAPPERS) {
    const [, inner] = named.find(([key]) => key === wrapper) ?? []
    if (inner instanceof PickleDict) return namedEntries(inner)
  }
  return named
}

/** Counters and settings may stand beside tensors under keys of any kind. */
function namedEntries({ entries }: PickleDict): [string, PickleValue][] {
  return [...new Map(entries.map(([key, value]) => [typeof key === 'string' ? key : describe(key), value]))]
}

function entryOf(name: string, view: TorchView, layout: TorchLayout, file: string): TorchEntry {
  const bad = (problem: string): LowrankError =>
    new LowrankError('format', `${file}: tensor ${cut(name)} ${problem}`, { file, field: cut(name) })
  const { storage, dtype, shape, strides } = view
  const size = TORCH_BYTES[dtype]
  if (size === undefined || dtype === 'untyped') throw bad(`has type ${dtype}, whose size is not known`)
  const place = layout.place(storage)
  const count = sizeOf(shape)
  const reach = count === 0 ? 0 : shape.reduce((sum, extent, i) => sum + (extent - 1) * (strides[i] ?? 0), 1)
  if (!Number.isSafeInteger(count * size) || (view.offset + reach) * size > place.bytes)
    throw bad(`of shape [${shape}] reaches beyond its storage of ${place.bytes} bytes`)
  // A stride of 0 repeats an element: a few bytes could claim to be terabytes.
  if (count * size > Math.max(place.bytes, size))
    throw bad(`of shape [${shape}] repeats elements of its storage; save a copy of it (.clone())`)
  return {
    name,
    dtype,
    shape,
    strides,
    offset: place.offset + view.offset * size,
    span: reach * size,
    bytes: count * size,
    contiguous: count === 0 || isContiguous(shape, strides),
  }
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false
    expected *= shape[i] ?? 1
  }
  return true
}

/** The place of a listed tensor. @throws {LowrankError} `unsupported` where its bytes do not lie in order, or its dtype is not computed with. */
export function torchRef(file: string, entry: TorchEntry): WeightRef {
  const { shape, offset, bytes, name } = entry
  if (!entry.contiguous)
    throw unsupported(file, name, 'is stored transposed or with gaps', 'save a copy of it (.contiguous())')
  return { file, dtype: readableType(file, entry), shape, offset, bytes }
}

/** Reads one tensor, its elements in order. With `as: 'f32'`, half floats are widened. */
export async function readTorchTensor(
  source: ByteSource,
  entry: TorchEntry,
  options: { as?: 'f32' } = {},
): Promise<HostTensor> {
  const dtype = readableType(source.name, entry)
  const held = await source.read(entry.offset, entry.span)
  return asRead(viewTensor(dtype, entry.shape, entry.contiguous ? held : inOrder(held, entry, BYTES[dtype])), options)
}

/**
 * Reads every tensor of a file that lowrank computes with. Meant for adapters, not for base models.
 * @throws {LowrankError} as `readTorchHeader`; `unsupported` naming a tensor of another dtype.
 */
export async function readTorchFile(file: string, options: { as?: 'f32' } = {}): Promise<Map<string, HostTensor>> {
  return await readTorchTensors(await fileSource(file), options)
}

/** The same of any bytes. Tensors that view the same bytes alike are one object. */
export async function readTorchTensors(
  source: ByteSource,
  options: { as?: 'f32' } = {},
): Promise<Map<string, HostTensor>> {
  const { entries } = await parseTorch(source)
  const alike = new Map<string, HostTensor>()
  const tensors = new Map<string, HostTensor>()
  let total = 0
  for (const entry of entries.values()) {
    const key = [entry.offset, entry.dtype, entry.shape, entry.strides].join(';')
    const held = alike.get(key) ?? (await readTorchTensor(source, entry, options))
    if (!alike.has(key)) total += entry.bytes
    // Views of one storage could otherwise take any multiple of the file.
    if (total > SHARING_CAP * source.size)
      throw new LowrankError('format', `${source.name}: its tensors take more than ${SHARING_CAP} times the file`, {
        file: source.name,
      })
    alike.set(key, held)
    tensors.set(entry.name, held)
  }
  return tensors
}

/** Slices of one tensor take as much as it does; nobody saves a tensor in four overlapping views. */
const SHARING_CAP = 4

/** Copies strided elements into row-major order. */
function inOrder(held: Uint8Array, { shape, strides, bytes }: TorchEntry, size: number): Uint8Array {
  const out = new Uint8Array(bytes)
  const index = shape.map(() => 0)
  for (let to = 0; to < bytes; to += size) {
    const from = index.reduce((sum, i, side) => sum + i * (strides[side] ?? 0), 0) * size
    for (let byte = 0; byte < size; byte++) out[to + byte] = held[from + byte] ?? 0
    for (let side = shape.length - 1; side >= 0; side--) {
      index[side] = (index[side] ?? 0) + 1
      if ((index[side] ?? 0) < (shape[side] ?? 0)) break
      index[side] = 0
    }
  }
  return out
}

function readableType(file: string, { name, dtype }: TorchEntry): DType {
  if (isReadable(dtype)) return dtype
  throw unsupported(
    file,
    name,
    `has dtype ${dtype}, which lowrank does not compute with`,
    'save it as f32, f16 or bf16',
  )
}

function unsupported(file: string, name: string, problem: string, suggestion: string): LowrankError {
  return new LowrankError('unsupported', `tensor ${cut(name)} of ${file} ${problem}`, {
    file,
    field: cut(name),
    suggestion,
  })
}

function cut(name: string): string {
  return name.length > 120 ? `${name.slice(0, 120)}…` : name
}
