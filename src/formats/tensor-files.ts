/**
 * @file Reads tensors from safetensors files by range and writes such files atomically, one tensor in memory at a time.
 * The I/O side of safetensors.ts; must not know model folders or adapters.
 */

import { writeAtomically } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { fileBytes, readRange } from '../support/files.ts'
import { nearest } from '../support/nearest.ts'
import { type DType, viewBytes } from '../tensor/dtype.ts'
import { halvesToF32 } from '../tensor/half.ts'
import { type HostTensor, tensor } from '../tensor/host-tensor.ts'
import type { WeightRef } from '../tensor/weight-ref.ts'
import {
  isReadable,
  LENGTH_BYTES,
  layoutSafetensors,
  parseHeader,
  parseHeaderLength,
  type SafetensorsHeader,
  type TensorEntry,
  type TensorSpec,
} from './safetensors.ts'

export type { WeightRef }

/** Reads a file's header only. @throws {LowrankError} `missing`, `io`, `format`. */
export async function readSafetensorsHeader(file: string): Promise<SafetensorsHeader> {
  const size = await fileBytes(file)
  const first = await readRange(file, 0, Math.min(LENGTH_BYTES, size))
  const length = parseHeaderLength(first, size, file)
  return parseHeader(await readRange(file, LENGTH_BYTES, length), size, file)
}

/** The place of a listed tensor. @throws {LowrankError} `unsupported` where lowrank does not compute with its dtype. */
export function refOf(file: string, entry: TensorEntry): WeightRef {
  const { name, dtype, shape, offset, bytes } = entry
  if (isReadable(dtype)) return { file, dtype, shape, offset, bytes }
  throw new LowrankError(
    'unsupported',
    `tensor ${name} of ${file} has dtype ${dtype}, which lowrank does not compute with`,
    {
      file,
      field: name,
      suggestion: 'save it as F32, F16 or BF16',
    },
  )
}

/** Reads one tensor. With `as: 'f32'`, half floats are widened; integers and booleans stay as they are. */
export async function readTensor(ref: WeightRef, options: { as?: 'f32' } = {}): Promise<HostTensor> {
  const bytes = await readRange(ref.file, ref.offset, ref.bytes)
  return asRead(viewTensor(ref.dtype, ref.shape, bytes), options)
}

/** A tensor as its reader wants it: half floats widened, or as it is. */
export function asRead(held: HostTensor, options: { as?: 'f32' }): HostTensor {
  if (options.as === 'f32' && (held.dtype === 'f16' || held.dtype === 'bf16'))
    return tensor('f32', held.shape, halvesToF32(held.dtype, held.data))
  return held
}

/** Reads every tensor of a file, in the order of the file. Meant for adapters and goldens, not for base models. */
export async function readSafetensors(file: string, options: { as?: 'f32' } = {}): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>()
  for (const entry of (await readSafetensorsHeader(file)).entries.values())
    tensors.set(entry.name, await readTensor(refOf(file, entry), options))
  return tensors
}

/** One tensor to write; `data` is asked for once, when its turn comes, so that a file may be larger than memory. */
export interface LazyTensor extends TensorSpec {
  data: () => HostTensor | Promise<HostTensor>
}

/**
 * Writes a safetensors file atomically; bytes for the same tensors are always the same.
 * @throws {LowrankError} `io` (disk full, read-only), leaving the old file and nothing half-written; `stopped`.
 */
export async function writeSafetensors(
  file: string,
  tensors: readonly LazyTensor[] | ReadonlyMap<string, HostTensor>,
  options: { metadata?: Record<string, string>; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { header, order } = layoutSafetensors(isMap(tensors) ? fromMap(tensors) : tensors, options.metadata)
  await writeAtomically(file, async (sink) => {
    await sink.write(header)
    for (const spec of order) {
      if (options.signal?.aborted === true) throw new LowrankError('stopped', `writing ${file} was stopped`, { file })
      const held = await spec.data()
      if (held.dtype !== spec.dtype || held.shape.join() !== spec.shape.join())
        throw new Error(
          `internal: ${spec.name} was announced as ${spec.dtype}[${spec.shape}] but is ${held.dtype}[${held.shape}]`,
        )
      await sink.write(new Uint8Array(held.data.buffer, held.data.byteOffset, held.data.byteLength))
    }
  })
}

/** The error for a tensor that should be there and is not, with the nearest name that is. */
export function missingTensor(name: string, where: string, names: Iterable<string>): LowrankError {
  const [near] = nearest(name, names)
  return new LowrankError('format', `${where} has no tensor ${name}`, {
    file: where,
    field: name,
    suggestion: near === undefined ? undefined : `the nearest name there is ${near}`,
  })
}

/** Little-endian bytes as a tensor of a dtype. */
export function viewTensor(dtype: DType, shape: readonly number[], bytes: Uint8Array): HostTensor {
  switch (dtype) {
    case 'f32':
      return tensor(dtype, shape, viewBytes(dtype, bytes))
    case 'f16':
    case 'bf16':
      return tensor(dtype, shape, viewBytes(dtype, bytes))
    case 'i64':
      return tensor(dtype, shape, viewBytes(dtype, bytes))
    case 'i32':
      return tensor(dtype, shape, viewBytes(dtype, bytes))
    case 'u32':
      return tensor(dtype, shape, viewBytes(dtype, bytes))
    case 'u8':
    case 'bool':
      return tensor(dtype, shape, viewBytes(dtype, bytes))
  }
}

function isMap(
  value: readonly LazyTensor[] | ReadonlyMap<string, HostTensor>,
): value is ReadonlyMap<string, HostTensor> {
  return !Array.isArray(value)
}

function fromMap(tensors: ReadonlyMap<string, HostTensor>): LazyTensor[] {
  return Array.from(tensors, ([name, held]) => ({ name, dtype: held.dtype, shape: held.shape, data: () => held }))
}
