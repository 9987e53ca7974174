/** @file Softmax over the last axis. */
import { type CompositeDefinition, likeFirst } from './definition.ts'

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

export const maskedSoftmax: CompositeDefinition<'maskedSoftmax'> = {
  inputs: ['x', 'mask'],
  optional: {},
  type: likeFirst,
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
  type: likeFirst,
  expand(g, { p, y, dy }) {
    const own = g.mul(y, dy)
    return g.sub(own, g.mul(p, g.sum(own, { axes: [p.type.shape.length - 1], keepDims: true })))
  },
}
