/** @file Kernels that work element by element, with NumPy broadcasting. Must not know other kernels. */
import type { CoreName } from '../../graph/vocabulary.ts'
import type { DType } from '../../tensor/dtype.ts'
import { fromBf16, fromF16, toBf16, toF16 } from '../../tensor/half.ts'
import { erf as erfOf } from './erf.ts'
import { type Call, type Kernel, operand, spread } from './kernel.ts'

type Each = (x: number) => number
type EachPair = (x: number, y: number) => number

const unary =
  (f: Each): Kernel<CoreName> =>
  (call) =>
    operand(call, 0).data.map(f)

export const neg = unary((x) => -x)
export const exp = unary(Math.exp)
export const log = unary(Math.log)
export const sqrt = unary(Math.sqrt)
export const reciprocal = unary((x) => 1 / x)
export const tanh = unary(Math.tanh)
export const sigmoid = unary((x) => 1 / (1 + Math.exp(-x)))
export const erf = unary(erfOf)
export const sin = unary(Math.sin)
export const cos = unary(Math.cos)
export const not = unary((x) => (x === 0 ? 1 : 0))

/** Brings a result back into an integer dtype: wraps as two's complement, truncates towards zero. */
const INTO: { readonly [K in DType]: Each } = {
  f32: (x) => x,
  f16: (x) => fromF16(toF16(x)),
  bf16: (x) => fromBf16(toBf16(x)),
  i64: Math.trunc,
  i32: (x) => x | 0,
  u32: (x) => x >>> 0,
  u8: (x) => x & 255,
  bool: (x) => (x === 0 ? 0 : 1),
}

function pairwise(call: Call<CoreName>, f: EachPair): Float64Array {
  const x = spread(operand(call, 0), call.shape)
  const y = spread(operand(call, 1), call.shape)
  const out = new Float64Array(x.length)
  for (let i = 0; i < out.length; i++) out[i] = f(x[i] ?? 0, y[i] ?? 0)
  return out
}

const binary =
  (f: EachPair, wide: EachPair = f): Kernel<CoreName> =>
  (call) => {
    if (call.dtype === 'f32') return pairwise(call, f)
    return pairwise(call, call.dtype === 'u32' ? wide : f).map(INTO[call.dtype])
  }

export const add = binary((x, y) => x + y)
export const sub = binary((x, y) => x - y)
// A product of two u32 does not fit in f64.
export const mul = binary((x, y) => x * y, Math.imul)
export const div = binary((x, y) => x / y)
export const maximum = binary(Math.max)
export const minimum = binary(Math.min)

const predicate =
  (f: (x: number, y: number) => boolean): Kernel<CoreName> =>
  (call) =>
    pairwise(call, (x, y) => (f(x, y) ? 1 : 0))

export const equal = predicate((x, y) => x === y)
export const less = predicate((x, y) => x < y)
export const lessEqual = predicate((x, y) => x <= y)
export const and = predicate((x, y) => x !== 0 && y !== 0)

export const select: Kernel<'select'> = (call) => {
  const condition = spread(operand(call, 0), call.shape)
  const whenTrue = spread(operand(call, 1), call.shape)
  const whenFalse = spread(operand(call, 2), call.shape)
  return condition.map((c, i) => (c === 0 ? whenFalse[i] : whenTrue[i]) ?? 0)
}

export const cast: Kernel<'cast'> = (call) => {
  const { dtype, data } = operand(call, 0)
  return dtype === call.dtype ? data : data.map(INTO[call.dtype])
}
