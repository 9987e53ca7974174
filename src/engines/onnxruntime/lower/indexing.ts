/** @file Lowerings of reading and adding rows by index, and of dropout masks. */
import { dropLimit } from '../../../support/random.ts'
import type { Dim } from '../../../tensor/dim.ts'
import { sizeOfShape } from '../../../tensor/dim.ts'
import type { Emitter } from '../emitter.ts'
import { input, isDrawn, type Lower, type LowerCall } from '../lowering.ts'

export const gather: Lower<'gather'> = (call) => call.e.op('Gather', [input(call, 0), input(call, 1)], { axis: 0 })

/** ScatterElements adds one after another; ScatterND adds in parallel and loses some where an id comes twice. */
export const scatterAdd: Lower<'scatterAdd'> = (call) => {
  const { e, node } = call
  const [ids, updates] = node.inputs
  const count = sizeOfShape(ids?.type.shape ?? [])
  const rest = updates?.type.shape.slice(ids?.type.shape.length ?? 0) ?? []
  const zeros = e.op('Expand', [e.f32(0), e.shape(node.type.shape)])
  // Rows that no other touches are written whole, in parallel.
  if (node.params.distinct && rest.length > 0) {
    const rows = e.reshape(input(call, 1), [count, ...rest])
    return e.op('ScatterND', [zeros, e.reshape(input(call, 0), [count, 1]), rows])
  }
  const column = e.reshape(input(call, 0), [count, ...rest.map(() => 1)])
  const indices = rest.length === 0 ? column : e.op('Expand', [column, e.shape([count, ...rest])])
  const rows = e.reshape(input(call, 1), [count, ...rest])
  return e.op('ScatterElements', [zeros, indices, rows], { axis: 0, reduction: 'add' })
}

export const takeLast: Lower<'takeLast'> = (call) => {
  const { e } = call
  const indices = e.op('Unsqueeze', [input(call, 1), e.i64(-1)])
  return e.op('Squeeze', [e.op('GatherElements', [input(call, 0), indices], { axis: -1 }), e.i64(-1)])
}

export const oneHot: Lower<'oneHot'> = (call) => {
  const { e, node } = call
  const values = e.constant('f32', [2], [0, 1])
  return e.op('OneHot', [input(call, 0), e.constant('i64', [], [node.params.depth]), values], { axis: -1 })
}

/** Drawn outside of the model where its keys are known there (see masks.ts). */
export const dropoutMask: Lower<'dropoutMask'> = (call) => {
  const { e, node } = call
  if (isDrawn(node, e.lean)) return e.mask({ ...node.params, keys: input(call, 0), shape: node.type.shape })
  return hashedMask(call)
}

/** See ops/indexing.ts for the formula; products and sums of u32 wrap, as they must. */
function hashedMask(call: LowerCall<'dropoutMask'>): string {
  const { e, node } = call
  const { site, rate, before, trailing } = node.params
  let hash = mix32(e, e.op('BitwiseXor', [input(call, 0), u32(e, site >>> 0)]))
  for (const extent of before) {
    const rows = e.op('Unsqueeze', [hash, e.i64(-2)])
    hash = mix32(e, wrappingAdd(e, rows, e.op('Unsqueeze', [steps(e, extent), e.i64(-1)])))
  }
  for (const extent of trailing) {
    const column = e.op('Unsqueeze', [hash, e.i64(-1)])
    hash = mix32(e, wrappingAdd(e, column, steps(e, extent)))
  }
  // ONNX Runtime compares no u32, and 31 bits are an i32 of the same order.
  const upper = e.op('Cast', [e.op('BitShift', [hash, u32(e, 1)], { direction: 'RIGHT' })], { to: 6 })
  const dropped = e.op('Less', [upper, e.constant('i32', [], [dropLimit(rate)])])
  return e.op('Where', [dropped, e.f32(0), e.f32(1 / (1 - rate))])
}

function u32(e: Emitter, value: number): string {
  return e.constant('u32', [], [value])
}

/** `(i + 1) · 0x9e3779b9` modulo 2^32, as u32[extent]. */
function steps(e: Emitter, extent: Dim): string {
  return e.once(`dropout steps ${extent}`, () => {
    const count = e.runtime(`count ${extent}`, 1, (value) => [value(extent)])
    const range = e.op('Range', [i64(e, 1), e.op('Add', [e.op('Squeeze', [count]), i64(e, 1)]), i64(e, 1)])
    return wrap(e, e.op('Mul', [range, i64(e, 0x9e3779b9)]))
  })
}

function i64(e: Emitter, value: number): string {
  return e.constant('i64', [], [value])
}

/** As i32: sums wrap around as those of u32 do, which ONNX Runtime does not add, at half the bytes of i64. */
function wrappingAdd(e: Emitter, a: string, b: string): string {
  const signed = (x: string): string => e.once(`signed ${x}`, () => e.op('Cast', [x], { to: 6 }))
  return e.op('Cast', [e.op('Add', [signed(a), signed(b)])], { to: 12 })
}

/** The low 32 bits of i64 values. */
function wrap(e: Emitter, x: string): string {
  return e.op('Cast', [e.op('BitwiseAnd', [x, i64(e, 0xffffffff)])], { to: 12 })
}

/** `mix32` of support/random.ts. */
function mix32(e: Emitter, x: string): string {
  const fold = (v: string, bits: number): string =>
    e.op('BitwiseXor', [v, e.op('BitShift', [v, u32(e, bits)], { direction: 'RIGHT' })])
  const times = (v: string, factor: number): string => e.op('Mul', [v, u32(e, factor)])
  return fold(times(fold(times(fold(x, 16), 0x7feb352d), 15), 0x846ca68b), 16)
}
