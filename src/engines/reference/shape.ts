/** @file Kernels that move elements, and the leaves of a graph. Must not know other kernels. */
import { invariant } from '../../support/errors.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import { type Kernel, offsets, operand, pick, spread, stridesOf } from './kernel.ts'
import type { ExactTensor } from './values.ts'

export const input: Kernel<'input'> = ({ params, bound }) => {
  const value = bound.get(params.name)
  invariant(value, `input '${params.name}' is not bound`)
  return value.data
}
export const constant: Kernel<'constant'> = ({ params }) => Float64Array.from(params.values)

const same = (call: { readonly inputs: readonly ExactTensor[] }): Float64Array => operand(call, 0).data
export const detach: Kernel<'detach'> = same
export const barrier: Kernel<'barrier'> = same
export const reshape: Kernel<'reshape'> = same

export const expand: Kernel<'expand'> = (call) => spread(operand(call, 0), call.shape)

export const transpose: Kernel<'transpose'> = (call) => {
  const x = operand(call, 0)
  const own = stridesOf(x.shape)
  const strides = call.params.perm.map((axis) => own[axis] ?? 0)
  return pick(x.data, offsets(call.shape, strides))
}

/** Copies `source` into `target`, both `[outer, extent, inner]` around `axis`, at an offset along it. */
function place(
  source: ExactTensor,
  sourceFrom: number,
  target: { readonly shape: readonly number[]; readonly data: Float64Array },
  targetFrom: number,
  axis: number,
): void {
  const inner = sizeOf(source.shape.slice(axis + 1))
  const outer = sizeOf(source.shape.slice(0, axis))
  const [has, gets] = [source.shape[axis] ?? 0, target.shape[axis] ?? 0]
  const count = Math.min(has - sourceFrom, gets - targetFrom) * inner
  for (let i = 0; i < outer; i++) {
    const from = (i * has + sourceFrom) * inner
    target.data.set(source.data.subarray(from, from + count), (i * gets + targetFrom) * inner)
  }
}

export const slice: Kernel<'slice'> = (call) => {
  const out = new Float64Array(sizeOf(call.shape))
  place(operand(call, 0), call.params.start, { shape: call.shape, data: out }, 0, call.params.axis)
  return out
}

export const pad: Kernel<'pad'> = (call) => {
  const out = new Float64Array(sizeOf(call.shape))
  place(operand(call, 0), 0, { shape: call.shape, data: out }, call.params.before, call.params.axis)
  return out
}

export const concat: Kernel<'concat'> = (call) => {
  const out = new Float64Array(sizeOf(call.shape))
  let at = 0
  for (const part of call.inputs) {
    place(part, 0, { shape: call.shape, data: out }, at, call.params.axis)
    at += part.shape[call.params.axis] ?? 0
  }
  return out
}
