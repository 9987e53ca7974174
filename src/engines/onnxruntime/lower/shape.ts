/** @file Lowerings of ops that move elements. */
import { input, type Lower } from '../lowering.ts'

export const reshape: Lower<'reshape'> = (call) => call.e.reshape(input(call, 0), call.node.params.shape)

export const transpose: Lower<'transpose'> = (call) =>
  call.e.op('Transpose', [input(call, 0)], { perm: call.node.params.perm })

export const expand: Lower<'expand'> = (call) =>
  call.e.op('Expand', [input(call, 0), call.e.shape(call.node.params.shape)])

export const slice: Lower<'slice'> = (call) => {
  const { axis, start, size } = call.node.params
  const { e } = call
  return e.op('Slice', [input(call, 0), e.i64(start), e.i64(start + size), e.i64(axis)])
}

export const pad: Lower<'pad'> = (call) => {
  const { axis, before, after } = call.node.params
  const { e } = call
  return e.op('Pad', [input(call, 0), e.i64(before, after), e.f32(0), e.i64(axis)])
}

export const concat: Lower<'concat'> = ({ e, inputs, node }) => e.op('Concat', inputs, { axis: node.params.axis })
