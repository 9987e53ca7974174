/** @file Tensors in JavaScript memory: what feeds, results, adapters and files exchange. */
import { invariant } from '../support/errors.ts'
import { allocate, type DType, type HostArrays } from './dtype.ts'

/** A dense row-major tensor on the host. Treated as immutable once shared. */
export type HostTensor = { [D in DType]: TypedTensor<D> }[DType]
export interface TypedTensor<D extends DType> {
  readonly dtype: D
  readonly shape: readonly number[]
  readonly data: HostArrays[D]
}

/** Number of elements of a concrete shape; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

export function tensor<D extends DType>(dtype: D, shape: readonly number[], data: HostArrays[D]): TypedTensor<D> {
  invariant(
    data.length === sizeOf(shape),
    `tensor of shape [${shape}] needs ${sizeOf(shape)} elements, got ${data.length}`,
  )
  return { dtype, shape, data }
}

export function zeros<D extends DType>(dtype: D, shape: readonly number[]): TypedTensor<D> {
  return { dtype, shape, data: allocate(dtype, sizeOf(shape)) }
}

/** f32 tensor from numbers. */
export function f32(shape: readonly number[], values: ArrayLike<number>): TypedTensor<'f32'> {
  return tensor('f32', shape, Float32Array.from(values))
}

/** i64 tensor from integers, the dtype of token ids. */
export function i64(shape: readonly number[], values: ArrayLike<number>): TypedTensor<'i64'> {
  const data = new BigInt64Array(values.length)
  for (let i = 0; i < values.length; i++) data[i] = BigInt(values[i] ?? 0)
  return tensor('i64', shape, data)
}
