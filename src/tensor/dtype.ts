/** @file Element types of tensors, their sizes and host arrays. */

/** Types that graphs and host tensors hold. `f16` and `bf16` are storage: arithmetic is f32 unless an engine says otherwise. */
export type DType = 'f32' | 'f16' | 'bf16' | 'i64' | 'i32' | 'u32' | 'u8' | 'bool'

export const BYTES: { readonly [K in DType]: number } = {
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  u32: 4,
  u8: 1,
  bool: 1,
}

/** The typed array that holds a dtype on the host. Half floats travel as their bits. */
export interface HostArrays {
  f32: Float32Array
  f16: Uint16Array
  bf16: Uint16Array
  i64: BigInt64Array
  i32: Int32Array
  u32: Uint32Array
  u8: Uint8Array
  bool: Uint8Array
}

const CONSTRUCTORS: {
  readonly [K in DType]: new (
    buffer: ArrayBuffer,
    offset?: number,
    length?: number,
  ) => HostArrays[K]
} = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u32: Uint32Array,
  u8: Uint8Array,
  bool: Uint8Array,
}

/** A zeroed host array of `length` elements. */
export function allocate<D extends DType>(dtype: D, length: number): HostArrays[D] {
  return new CONSTRUCTORS[dtype](new ArrayBuffer(length * BYTES[dtype]))
}

/** Views (or, where misaligned, copies) little-endian bytes as elements of `dtype`. */
export function viewBytes<D extends DType>(dtype: D, bytes: Uint8Array): HostArrays[D] {
  const size = BYTES[dtype]
  const aligned = bytes.byteOffset % size === 0 && bytes.buffer instanceof ArrayBuffer
  const source = aligned ? bytes : Uint8Array.from(bytes)
  return new CONSTRUCTORS[dtype](source.buffer as ArrayBuffer, source.byteOffset, bytes.byteLength / size)
}
