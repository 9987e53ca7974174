/**
 * @file Tensors inside the reference engine: every dtype as f64 numbers, so floats are exact beyond f32 and integers
 * to 2^53 (token ids, positions and u32 keys stay far below). Must not know ops.
 */
import type { WeightRef } from '../../engine/engine.ts'
import { isWeightRef } from '../../engine/engine.ts'
import { readRange } from '../../support/files.ts'
import { type DType, viewBytes } from '../../tensor/dtype.ts'
import { f32ToHalves, halvesToF32 } from '../../tensor/half.ts'
import { type HostTensor, i64 } from '../../tensor/host-tensor.ts'

/** A tensor whose elements are f64, whatever its dtype says. Treated as immutable. */
export interface ExactTensor {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly data: Float64Array
}

/** f64 copy of a host tensor; half floats by value, not by bits. */
export function exact(tensor: HostTensor | ExactTensor): ExactTensor {
  const { dtype, shape } = tensor
  if (tensor.data instanceof Float64Array) return { dtype, shape, data: tensor.data }
  return { dtype, shape, data: numbers(tensor as HostTensor) }
}

function numbers(tensor: HostTensor): Float64Array {
  if (tensor.dtype === 'f16' || tensor.dtype === 'bf16')
    return Float64Array.from(halvesToF32(tensor.dtype, tensor.data))
  if (tensor.dtype === 'i64') return Float64Array.from(tensor.data, Number)
  return Float64Array.from(tensor.data)
}

/** Rounds an exact tensor to its dtype for the host. */
export function toHost({ dtype, shape, data }: ExactTensor): HostTensor {
  switch (dtype) {
    case 'f32':
      return { dtype, shape, data: Float32Array.from(data) }
    case 'f16':
    case 'bf16':
      return { dtype, shape, data: f32ToHalves(dtype, Float32Array.from(data)) }
    case 'i64':
      return i64(shape, data)
    case 'i32':
      return { dtype, shape, data: Int32Array.from(data) }
    case 'u32':
      return { dtype, shape, data: Uint32Array.from(data) }
    case 'u8':
    case 'bool':
      return { dtype, shape, data: Uint8Array.from(data) }
  }
}

/** Loads a weight, from its file where it is a reference. */
export async function loadWeight(source: WeightRef | HostTensor): Promise<ExactTensor> {
  if (!isWeightRef(source)) return { ...exact(source), dtype: 'f32' }
  const bytes = await readRange(source.file, source.offset, source.bytes)
  const host = { dtype: source.dtype, shape: source.shape, data: viewBytes(source.dtype, bytes) } as HostTensor
  return { ...exact(host), dtype: 'f32' }
}
