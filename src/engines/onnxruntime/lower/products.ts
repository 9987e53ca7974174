/** @file Lowerings of reductions and matrix products. */
import { input, type Lower } from '../lowering.ts'

export const sum: Lower<'sum'> = (call) => {
  const { axes, keepDims } = call.node.params
  if (axes.length === 0) return input(call, 0)
  return call.e.op('ReduceSum', [input(call, 0), call.e.i64(...axes)], { keepdims: keepDims ? 1 : 0 })
}

export const reduceMax: Lower<'reduceMax'> = (call) => {
  const { axes, keepDims } = call.node.params
  if (axes.length === 0) return input(call, 0)
  return call.e.op('ReduceMax', [input(call, 0), call.e.i64(...axes)], { keepdims: keepDims ? 1 : 0 })
}

/** FusedMatMul reads either factor transposed and prepacks a constant one either way: no weight is ever transposed. */
export const matmul: Lower<'matmul'> = (call) => {
  const { transA, transB, alpha } = call.node.params
  const factors = [input(call, 0), input(call, 1)]
  if (!transA && !transB && alpha === 1) return call.e.op('MatMul', factors)
  return call.e.contrib('FusedMatMul', factors, {
    transA: transA ? 1 : 0,
    transB: transB ? 1 : 0,
    alpha: { float: alpha },
  })
}
