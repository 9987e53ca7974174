/** @file RMSNorm and LayerNorm over the last axis, rotary position embedding. */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { unbroadcast } from './broadcasting.ts'
import { at, type CompositeDefinition, likeFirst, typeError } from './definition.ts'

/** Mean over the last axis, kept as an axis of 1. */
function mean(g: Builder, x: Node): Node {
  const axis = x.type.shape.length - 1
  return g.mul(g.sum(x, { axes: [axis], keepDims: true }), 1 / Number(x.type.shape[axis]))
}

const inverseRoot = (g: Builder, x: Node, eps: number): Node => g.reciprocal(g.sqrt(g.add(x, eps)))

/** `x / rms(x)`. */
function rmsUnit(g: Builder, x: Node, eps: number): Node {
  return g.mul(x, inverseRoot(g, mean(g, g.mul(x, x)), eps))
}

export const rmsNorm: CompositeDefinition<'rmsNorm'> = {
  inputs: ['x', 'weight'],
  optional: {},
  type: likeFirst,
  expand: (g, { x, weight }, { eps }) => g.mul(rmsUnit(g, x, eps), weight),
  vjp: {
    x: (g, { x, weight }, dy, params) => g.rmsNormGrad(x, weight, dy, params),
    weight: (g, { x, weight }, dy, { eps }) => unbroadcast(g, g.mul(dy, rmsUnit(g, x, eps)), weight.type),
  },
}

export const rmsNormGrad: CompositeDefinition<'rmsNormGrad'> = {
  inputs: ['x', 'weight', 'dy'],
  optional: {},
  type: likeFirst,
  // With u = x/rms and c = dy·w: dx = (c − u·mean(c·u)) / rms
  expand(g, { x, weight, dy }, { eps }) {
    const inverse = inverseRoot(g, mean(g, g.mul(x, x)), eps)
    const u = g.mul(x, inverse)
    const c = g.mul(dy, weight)
    return g.mul(g.sub(c, g.mul(u, mean(g, g.mul(c, u)))), inverse)
  },
}

/** `(x − mean) / deviation`. */
export const standardise: CompositeDefinition<'standardise'> = {
  inputs: ['x'],
  optional: {},
  type: likeFirst,
  expand(g, { x }, { eps }) {
    const centred = g.sub(x, mean(g, x))
    return g.mul(centred, inverseRoot(g, mean(g, g.mul(centred, centred)), eps))
  },
}

export const layerNorm: CompositeDefinition<'layerNorm'> = {
  inputs: ['x', 'weight', 'bias'],
  optional: {},
  type: likeFirst,
  expand: (g, { x, weight, bias }, { eps }) => g.add(g.mul(g.standardise(x, { eps }), weight), bias),
  vjp: {
    x: (g, { x, weight }, dy, params) => g.layerNormGrad(x, weight, dy, params),
    weight: (g, { x, weight }, dy, { eps }) => unbroadcast(g, g.mul(dy, g.standardise(x, { eps })), weight.type),
    bias: (g, { bias }, dy) => unbroadcast(g, dy, bias.type),
  },
}

export const layerNormGrad: CompositeDefinition<'layerNormGrad'> = {
  inputs: ['x', 'weight', 'dy'],
  optional: {},
  type: likeFirst,
  // With u the standardised x and c = dy·w: dx = (c − mean(c) − u·mean(c·u)) / deviation
  expand(g, { x, weight, dy }, { eps }) {
    const centred = g.sub(x, mean(g, x))
    const inverse = inverseRoot(g, mean(g, g.mul(centred, centred)), eps)
    const u = g.mul(centred, inverse)
    const c = g.mul(dy, weight)
    return g.mul(g.sub(g.sub(c, mean(g, c)), g.mul(u, mean(g, g.mul(c, u)))), inverse)
  },
}

export const rotary: CompositeDefinition<'rotary'> = {
  inputs: ['x', 'cos', 'sin'],
  optional: {},
  type(inputs) {
    const [x, cos] = [at(inputs, 0), at(inputs, 1)]
    if (x.shape.length !== 4 || cos.shape.length !== 3 || Number(x.shape[3]) !== 2 * Number(cos.shape[2])) {
      throw typeError('rotary', 'x [b, h, s, d] and cos, sin [b, s, d/2]', inputs)
    }
    return x
  },
  expand(g, { x, cos, sin }) {
    const half = Number(x.type.shape[3]) / 2
    const [b = 1, s = 1] = cos.type.shape
    const first = g.slice(x, { axis: 3, start: 0, size: half })
    const second = g.slice(x, { axis: 3, start: half, size: half })
    const c = g.reshape(cos, { shape: [b, 1, s, half] })
    const d = g.reshape(sin, { shape: [b, 1, s, half] })
    return g.concat([g.sub(g.mul(first, c), g.mul(second, d)), g.add(g.mul(second, c), g.mul(first, d))], { axis: 3 })
  },
  // A rotation's transpose is the rotation back.
  vjp: { x: (g, { cos, sin }, dy) => g.rotary(dy, cos, g.neg(sin)), cos: null, sin: null },
}
