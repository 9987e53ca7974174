/**
 * @file Writes a state dictionary as torch.save does, so that torch.load opens it: a zip archive of stored entries.
 * Must not know what the tensors are for. Source: torch/serialization.py (_save) 2.15, PKWARE APPNOTE 6.3.10.
 */
import { crc32 } from 'node:zlib'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import type { DType } from '../tensor/dtype.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'

const STORAGES: { readonly [D in DType]: string | undefined } = {
  f32: 'FloatStorage',
  f16: 'HalfStorage',
  bf16: 'BFloat16Storage',
  i64: 'LongStorage',
  i32: 'IntStorage',
  u8: 'ByteStorage',
  bool: 'BoolStorage',
  u32: undefined,
}

/** Writes tensors atomically. @throws {LowrankError} `io`; `unsupported` for what torch has no storage for, or 4 GiB and more. */
export async function writeTorchFile(file: string, tensors: ReadonlyMap<string, HostTensor>): Promise<void> {
  await writeFileAtomic(file, serializeTorch(tensors, file))
}

/** A whole file of tensors in memory; the same tensors give the same bytes. */
export function serializeTorch(tensors: ReadonlyMap<string, HostTensor>, file = 'torch'): Uint8Array {
  const entries: [string, Uint8Array][] = [
    ['archive/data.pkl', pickleState(tensors, file)],
    ['archive/byteorder', Buffer.from('little')],
  ]
  for (const { data } of tensors.values())
    entries.push([`archive/data/${entries.length - 2}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)])
  entries.push(['archive/version', Buffer.from('3\n')])
  return zip(entries, file)
}

/** Protocol 2: `{name: torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())}`. */
function pickleState(tensors: ReadonlyMap<string, HostTensor>, file: string): Uint8Array {
  const parts: Uint8Array[] = []
  const put = (...bytes: number[]): void => void parts.push(Uint8Array.from(bytes))
  const text = (value: string): void => {
    const bytes = Buffer.from(value)
    parts.push(Uint8Array.of(0x58, ...u32(bytes.length)), bytes)
  }
  const global = (module: string, name: string): void => void parts.push(Buffer.from(`c${module}\n${name}\n`))
  const whole = (value: number): void => {
    if (value < 2 ** 31) put(0x4a, ...u32(value))
    else put(0x8a, 8, ...u32(value % 2 ** 32), ...u32(Math.floor(value / 2 ** 32)))
  }
  const wholes = (values: readonly number[]): void => {
    put(0x28)
    values.forEach(whole)
    put(0x74)
  }
  put(0x80, 2, 0x7d, 0x28) // PROTO 2, EMPTY_DICT, MARK
  let key = 0
  for (const [name, { dtype, shape, data }] of tensors) {
    const storage = STORAGES[dtype]
    if (storage === undefined)
      throw new LowrankError('unsupported', `torch has no storage for ${name} of type ${dtype}`, { file, field: name })
    text(name)
    global('torch._utils', '_rebuild_tensor_v2')
    put(0x28, 0x28) // MARK MARK
    text('storage')
    global('torch', storage)
    text(String(key++))
    text('cpu')
    whole(data.length)
    put(0x74, 0x51) // TUPLE BINPERSID
    whole(0)
    wholes(shape)
    wholes(shape.map((_, side) => shape.slice(side + 1).reduce((product, extent) => product * extent, 1)))
    put(0x89) // NEWFALSE
    global('collections', 'OrderedDict')
    put(0x29, 0x52, 0x74, 0x52) // EMPTY_TUPLE REDUCE TUPLE REDUCE
  }
  put(0x75, 0x2e) // SETITEMS STOP
  return Buffer.concat(parts)
}

/** torch maps storages into memory, so their bytes begin at multiples of this. */
const ALIGNMENT = 64

function zip(entries: readonly (readonly [string, Uint8Array])[], file: string): Uint8Array {
  const parts: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let at = 0
  for (const [name, bytes] of entries) {
    const title = Buffer.from(name)
    const unpadded = at + 30 + title.length + 4
    const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT
    const facts = [...u32(0), ...u32(0), ...u32(crc32(bytes)), ...u32(bytes.length), ...u32(bytes.length)]
    const length = u16(title.length)
    const extra = Uint8Array.of(0x46, 0x42, ...u16(padding)) // torch's own field for padding
    const local = Uint8Array.of(...u32(0x04034b50), 0, 0, ...facts, ...length, ...u16(extra.length + padding))
    parts.push(local, title, extra, new Uint8Array(padding), bytes)
    const rest = [...length, ...u16(0), ...u16(0), ...u16(0), ...u16(0), ...u32(0), ...u32(at)]
    directory.push(Uint8Array.of(...u32(0x02014b50), 0, 0, 0, 0, ...facts, ...rest), title)
    at = unpadded + padding + bytes.length
  }
  const listed = Buffer.concat(directory)
  if (at + listed.length >= 2 ** 32)
    throw new LowrankError('unsupported', `${file} would have 4 GiB or more`, { file, suggestion: 'write safetensors' })
  const count = u16(entries.length)
  const end = Uint8Array.of(...u32(0x06054b50), 0, 0, 0, 0, ...count, ...count, ...u32(listed.length), ...u32(at), 0, 0)
  return Buffer.concat([...parts, listed, end])
}

function u16(value: number): number[] {
  return [value & 255, (value >> 8) & 255]
}

function u32(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255]
}
