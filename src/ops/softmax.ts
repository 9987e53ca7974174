/** @file Softmax over the last axis and attention with grouped heads. */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { mulDims } from '../tensor/dim.ts'
import { at, type CompositeDefinition, type Inputs, likeFirst, typeError } from './definition.ts'

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

type Attention = Inputs<'attention'>

/**
 * Query heads that share a key head stand next to each other, so `[b, h, s, d]` seen as `[b, hkv, group·s, d]` meets
 * its keys without repeating them.
 */
function grouped(g: Builder, x: Node, kv: Node): Node {
  const [b, h, s, d] = dims(x)
  const heads = kv.type.shape[1] ?? 1
  return heads === h ? x : g.reshape(x, { shape: [b, heads, mulDims(Number(h) / Number(heads), s), d] })
}

/** Attention weights, `f32[b, h, s, t]`. */
function weights(g: Builder, { q, k, bias }: Pick<Attention, 'q' | 'k' | 'bias'>, scale: number): Node {
  const [b, h, s] = dims(q)
  const t = k.type.shape[2] ?? 1
  const scores = g.matmul(grouped(g, q, k), k, { transB: true, alpha: scale })
  return g.softmax(g.add(g.reshape(scores, { shape: [b, h, s, t] }), bias))
}

export const attention: CompositeDefinition<'attention'> = {
  inputs: ['q', 'k', 'v', 'bias'],
  optional: {},
  type(inputs) {
    const [q, k, v] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    const group = Number(q.shape[1]) / Number(k.shape[1])
    if (q.shape.length !== 4 || !Number.isInteger(group) || k.shape[3] !== q.shape[3] || v.shape[2] !== k.shape[2]) {
      throw typeError('attention', 'q [b, h, s, d], k and v [b, hkv, t, d] with hkv dividing h', inputs)
    }
    return { dtype: 'f32', shape: [...q.shape.slice(0, 3), v.shape[3] ?? 1] }
  },
  expand(g, { q, k, v, bias }, { scale }) {
    const [b, h, s] = dims(q)
    const p = grouped(g, weights(g, { q, k, bias }, scale), k)
    return g.reshape(g.matmul(p, v), { shape: [b, h, s, v.type.shape[3] ?? 1] })
  },
  vjp: {
    q: (g, io, dy, { scale }, y) =>
      g.reshape(g.matmul(gradScores(g, io, dy, scale, y), io.k, { alpha: scale }), { shape: io.q.type.shape }),
    k: (g, io, dy, { scale }, y) =>
      g.matmul(gradScores(g, io, dy, scale, y), grouped(g, io.q, io.k), { transA: true, alpha: scale }),
    v: (g, io, dy, { scale }) =>
      g.matmul(grouped(g, weights(g, io, scale), io.k), grouped(g, dy, io.k), { transA: true }),
    bias: null,
  },
}

/**
 * Cotangent of the scores, grouped: P ⊙ (dP − rowsum(dy ⊙ y)); the row sum over t of P ⊙ dP equals the one over d of
 * dy ⊙ y, which is far shorter (FlashAttention, arXiv 2205.14135, appendix B).
 */
function gradScores(g: Builder, io: Attention, dy: Node, scale: number, y: Node): Node {
  const { k, v } = io
  const [b, h, s] = dims(io.q)
  const p = weights(g, io, scale)
  const dp = g.reshape(g.matmul(grouped(g, dy, k), v, { transB: true }), { shape: [b, h, s, k.type.shape[2] ?? 1] })
  const delta = g.sum(g.mul(dy, y), { axes: [3], keepDims: true })
  return grouped(g, g.mul(p, g.sub(dp, delta)), k)
}

function dims(
  x: Node,
): [
  Node['type']['shape'][number],
  Node['type']['shape'][number],
  Node['type']['shape'][number],
  Node['type']['shape'][number],
] {
  const [a = 1, b = 1, c = 1, d = 1] = x.type.shape
  return [a, b, c, d]
}
