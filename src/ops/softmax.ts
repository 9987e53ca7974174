/** @file Softmax over the last axis. */
import type { TensorType } from '../graph/types.ts'
import { sameShape } from '../tensor/dim.ts'
import { type CompositeDefinition, likeFirst, typeError } from './definition.ts'

export const softmax: CompositeDefinition<'softmax'> = {
  inputs: ['x'],
  optional: {},
  type: likeFirst,
  expand(g, { x }) {
    const axes = [x.type.shape.length - 1]
    const e = g.exp(g.sub(x, g.reduceMax(g.detach(x), { axes, keepDims: true })))
    return g.div(e, g.sum(e, { axes, keepDims: true }))
  },
  vjp: { x: (g, _, dy, __, y) => g.softmaxGrad(y, dy) },
}

export const softmaxGrad: CompositeDefinition<'softmaxGrad'> = {
  inputs: ['y', 'dy'],
  optional: {},
  type: likeFirst,
  expand: (g, { y, dy }) =>
    g.mul(y, g.sub(dy, g.sum(g.mul(y, dy), { axes: [y.type.shape.length - 1], keepDims: true }))),
}

/** All inputs of one shape: nothing is broadcast. */
function alike(op: string): (inputs: readonly TensorType[]) => TensorType {
  return (inputs) => {
    const first = likeFirst(inputs)
    if (inputs.every(({ dtype, shape }) => dtype === 'f32' && sameShape(shape, first.shape))) return first
    throw typeError(op, 'f32 of one shape', inputs)
  }
}

export const maskedSoftmax: CompositeDefinition<'maskedSoftmax'> = {
  inputs: ['x', 'mask'],
  optional: {},
  type: alike('maskedSoftmax'),
  expand: (g, { x, mask }) => g.mul(g.softmax(x), mask),
  vjp: {
    x: (g, { x }, dy, _, y) => g.maskedSoftmaxGrad(g.softmax(x), y, dy),
    mask: (g, { x }, dy) => g.mul(g.softmax(x), dy),
  },
}

/**
 * Given p = softmax(x): p ⊙ (mask ⊙ dy − rowsum(p ⊙ mask ⊙ dy)), which is y ⊙ dy − p ⊙ rowsum(y ⊙ dy): the mask is in y
 * already, and a pass over what is `[heads, seq, seq]` large is saved.
 */
export const maskedSoftmaxGrad: CompositeDefinition<'maskedSoftmaxGrad'> = {
  inputs: ['p', 'y', 'dy'],
  optional: {},
  type: alike('maskedSoftmaxGrad'),
  expand(g, { p, y, dy }) {
    const own = g.mul(y, dy)
    return g.sub(own, g.mul(p, g.sum(own, { axes: [p.type.shape.length - 1], keepDims: true })))
  },
}
