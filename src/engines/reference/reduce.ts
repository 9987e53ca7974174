/** @file Kernels of reductions and matrix products. Must not know other kernels. */
import { sizeOf } from '../../tensor/host-tensor.ts'
import { broadcastStrides, type Call, type Kernel, offsets, operand, stridesOf } from './kernel.ts'
import type { ExactTensor } from './values.ts'

type Reduction = Call<'sum'> | Call<'reduceMax'>

function reduce(call: Reduction, start: number, f: (x: number, y: number) => number): Float64Array {
  const x = operand(call, 0)
  const { axes } = call.params
  const kept = stridesOf(x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent)))
  const target = offsets(
    x.shape,
    kept.map((stride, axis) => (axes.includes(axis) ? 0 : stride)),
  )
  const out = new Float64Array(sizeOf(call.shape)).fill(start)
  for (let i = 0; i < x.data.length; i++) {
    const at = target[i] ?? 0
    out[at] = f(out[at] ?? 0, x.data[i] ?? 0)
  }
  return out
}

export const sum: Kernel<'sum'> = (call) => reduce(call, 0, (x, y) => x + y)
export const reduceMax: Kernel<'reduceMax'> = (call) => reduce(call, Number.NEGATIVE_INFINITY, Math.max)

export const matmul: Kernel<'matmul'> = (call) => {
  const [a, b] = [operand(call, 0), operand(call, 1)]
  const { transA, transB, alpha } = call.params
  const lead = call.shape.slice(0, -2)
  const [m, n] = [call.shape.at(-2) ?? 1, call.shape.at(-1) ?? 1]
  const k = (transA ? a.shape.at(-2) : a.shape.at(-1)) ?? 1
  const left = matrices(a, lead, transA, m, k)
  const right = matrices(b, lead, !transB, n, k)
  const out = new Float64Array(sizeOf(call.shape))
  left.starts.forEach((from, i) => {
    product(
      out.subarray(i * m * n, (i + 1) * m * n),
      left.data,
      from,
      right.data,
      right.starts[i] ?? 0,
      [m, n, k],
      alpha,
    )
  })
  return out
}

/** `rows × k` matrices (transposed into that layout where asked) and where each member of the stack starts. */
function matrices(
  value: ExactTensor,
  lead: readonly number[],
  transposed: boolean,
  rows: number,
  k: number,
): { data: Float64Array; starts: Int32Array } {
  const own = value.shape.slice(0, -2)
  const starts = offsets(lead, broadcastStrides(own, lead)).map((i) => i * rows * k)
  if (!transposed) return { data: value.data, starts }
  const data = new Float64Array(value.data.length)
  const area = rows * k
  for (let start = 0; start < data.length; start += area) {
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < k; j++) data[start + i * k + j] = value.data[start + j * rows + i] ?? 0
  }
  return { data, starts }
}

/** out[m, n] = alpha · left[m, k] · right[n, k]ᵀ: both factors are read along their rows. */
function product(
  out: Float64Array,
  left: Float64Array,
  leftStart: number,
  right: Float64Array,
  rightStart: number,
  [m, n, k]: readonly [number, number, number],
  alpha: number,
): void {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      const [x, y] = [leftStart + i * k, rightStart + j * k]
      let total = 0
      for (let l = 0; l < k; l++) total += (left[x + l] ?? 0) * (right[y + l] ?? 0)
      out[i * n + j] = alpha * total
    }
  }
}
