/** @file What a kernel of the reference engine is, and the index arithmetic kernels share. Must not know single ops. */
import type { CoreName, ParamsOf } from '../../graph/vocabulary.ts'
import { invariant } from '../../support/errors.ts'
import type { DType } from '../../tensor/dtype.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import type { ExactTensor } from './values.ts'

/** One application with every dimension known. */
export interface Call<K extends CoreName> {
  readonly inputs: readonly ExactTensor[]
  readonly params: ParamsOf<K>
  /** Output shape and dtype. */
  readonly shape: readonly number[]
  readonly dtype: DType
  /** Extents of the parameter shapes' symbols. */
  readonly extent: (dim: number | string) => number
  /** Values of feeds, weights and state. */
  readonly bound: ReadonlyMap<string, ExactTensor>
  /** Op and place in the model, for errors. */
  readonly where: string
}
export type Kernel<K extends CoreName> = (call: Call<K>) => Float64Array

/** The i-th input; arity was checked when the graph was built. */
export function operand({ inputs }: { readonly inputs: readonly ExactTensor[] }, i: number): ExactTensor {
  const value = inputs[i]
  invariant(value, `kernel is missing input ${i}`)
  return value
}

/** Row-major strides. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step
    step *= shape[axis] ?? 1
  }
  return strides
}

/** For each element of `shape` in order, its offset under `strides` (0 along an axis repeats). */
export function offsets(shape: readonly number[], strides: readonly number[]): Int32Array {
  const out = new Int32Array(sizeOf(shape))
  let filled = Math.min(1, out.length)
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const [extent, stride] = [shape[axis] ?? 1, strides[axis] ?? 0]
    // The block of all inner axes is already written: repeat it, shifted by this axis's stride.
    for (let i = 1; i < extent; i++) {
      for (let j = 0; j < filled; j++) out[i * filled + j] = (out[j] ?? 0) + i * stride
    }
    filled *= extent
  }
  return out
}

/** Strides that read `from` as if it had been broadcast to `shape`. */
export function broadcastStrides(from: readonly number[], shape: readonly number[]): number[] {
  const own = stridesOf(from)
  const extra = shape.length - from.length
  return shape.map((_, axis) => (axis < extra || from[axis - extra] === 1 ? 0 : (own[axis - extra] ?? 0)))
}

/** Elements of `value` broadcast to `shape`; the array itself where nothing changes. */
export function spread(value: ExactTensor, shape: readonly number[]): Float64Array {
  const size = sizeOf(shape)
  if (value.data.length === size) return value.data
  if (value.data.length === 1) return new Float64Array(size).fill(value.data[0] ?? 0)
  return pick(value.data, offsets(shape, broadcastStrides(value.shape, shape)))
}

/** `source[index]` for each index. */
export function pick(source: Float64Array, indices: Int32Array): Float64Array {
  const out = new Float64Array(indices.length)
  for (let i = 0; i < out.length; i++) out[i] = source[indices[i] ?? 0] ?? 0
  return out
}
