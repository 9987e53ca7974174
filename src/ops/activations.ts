/** @file Activation functions under the names Hugging Face configs use, and their derivatives. */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { GeluKind } from '../graph/vocabulary.ts'
import { type CompositeDefinition, likeFirst } from './definition.ts'

export const silu: CompositeDefinition<'silu'> = {
  inputs: ['x'],
  optional: {},
  type: likeFirst,
  expand: (g, { x }) => g.mul(x, g.sigmoid(x)),
  vjp: { x: (g, { x }, dy) => g.siluGrad(x, dy) },
}

export const siluGrad: CompositeDefinition<'siluGrad'> = {
  inputs: ['x', 'dy'],
  optional: {},
  type: likeFirst,
  // d/dx x·σ = σ + x·σ·(1 − σ)
  expand(g, { x, dy }) {
    const s = g.sigmoid(x)
    return g.mul(dy, g.add(s, g.mul(g.mul(x, s), g.sub(1, s))))
  },
}

export const relu: CompositeDefinition<'relu'> = {
  inputs: ['x'],
  optional: {},
  type: likeFirst,
  expand: (g, { x }) => g.maximum(x, 0),
  // torch's convention: no gradient at exactly 0.
  vjp: { x: (g, { x }, dy) => g.select(g.less(0, x), dy, 0) },
}

const TANH_SCALE = Math.sqrt(2 / Math.PI)
const TANH_CUBIC = 0.044715
const QUICK_SCALE = 1.702

/** The factor that x is multiplied by: Φ(x), or its tanh or logistic approximation. */
function gate(g: Builder, x: Node, kind: GeluKind): Node {
  if (kind === 'quick') return g.sigmoid(g.mul(x, QUICK_SCALE))
  if (kind === 'erf') return g.mul(g.add(g.erf(g.mul(x, Math.SQRT1_2)), 1), 0.5)
  const inner = g.mul(g.mul(x, g.add(g.mul(g.mul(x, x), TANH_CUBIC), 1)), TANH_SCALE)
  return g.mul(g.add(g.tanh(inner), 1), 0.5)
}

export const gelu: CompositeDefinition<'gelu'> = {
  inputs: ['x'],
  optional: {},
  type: likeFirst,
  expand: (g, { x }, { kind }) => g.mul(x, gate(g, x, kind)),
  vjp: { x: (g, { x }, dy, { kind }) => g.geluGrad(x, dy, { kind }) },
}

export const geluGrad: CompositeDefinition<'geluGrad'> = {
  inputs: ['x', 'dy'],
  optional: {},
  type: likeFirst,
  expand: (g, { x, dy }, { kind }) => g.mul(dy, g.add(gate(g, x, kind), g.mul(x, gateSlope(g, x, kind)))),
}

/** Derivative of `gate`. */
function gateSlope(g: Builder, x: Node, kind: GeluKind): Node {
  const p = gate(g, x, kind)
  if (kind === 'quick') return g.mul(g.mul(p, g.sub(1, p)), QUICK_SCALE)
  if (kind === 'erf') return g.mul(g.exp(g.mul(g.mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI))
  // p = (1 + tanh u)/2, so p' = 2·p·(1 − p)·u'
  const slope = g.mul(g.add(g.mul(g.mul(x, x), 3 * TANH_CUBIC), 1), TANH_SCALE)
  return g.mul(g.mul(g.mul(p, g.sub(1, p)), 2), slope)
}
