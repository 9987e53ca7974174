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
