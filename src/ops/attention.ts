/** @file Attention with grouped heads, and its derivatives as ops. */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { mulDims } from '../tensor/dim.ts'
import { at, type CompositeDefinition, type Inputs, typeError } from './definition.ts'

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
  optional: { causal: false },
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
    q: (g, { q, k, v, bias }, dy, params, y) => g.attentionGradQuery(q, k, v, bias, y, dy, params),
    k: (g, { q, k, v, bias }, dy, params, y) => g.attentionGradKey(q, k, v, bias, y, dy, params),
    v: (g, { q, k, v, bias }, dy, params, y) => g.attentionGradValue(q, k, v, bias, y, dy, params),
    bias: null,
  },
}

type Gradient = 'attentionGradQuery' | 'attentionGradKey' | 'attentionGradValue'

function gradient<K extends Gradient>(input: 0 | 1 | 2, expand: Expand<K>): Omit<CompositeDefinition<Gradient>, 'vjp'> {
  return {
    inputs: ['q', 'k', 'v', 'bias', 'y', 'dy'],
    optional: { causal: false },
    type: (inputs) => at(inputs, input),
    expand,
  }
}
type Expand<K extends Gradient> = (g: Builder, io: Inputs<K>, params: { readonly scale: number }) => Node

export const attentionGradQuery = gradient<'attentionGradQuery'>(0, (g, io, { scale }) =>
  g.reshape(g.matmul(gradScores(g, io, scale), io.k, { alpha: scale }), { shape: io.q.type.shape }),
)

export const attentionGradKey = gradient<'attentionGradKey'>(1, (g, io, { scale }) =>
  g.matmul(gradScores(g, io, scale), grouped(g, io.q, io.k), { transA: true, alpha: scale }),
)

export const attentionGradValue = gradient<'attentionGradValue'>(2, (g, io, { scale }) =>
  g.matmul(grouped(g, weights(g, io, scale), io.k), grouped(g, io.dy, io.k), { transA: true }),
)

/**
 * Cotangent of the scores, grouped: P ⊙ (dP − rowsum(dy ⊙ y)); the row sum over t of P ⊙ dP equals the one over d of
 * dy ⊙ y, which is far shorter (FlashAttention, arXiv 2205.14135, appendix B).
 */
function gradScores(g: Builder, io: Inputs<'attentionGradQuery'>, scale: number): Node {
  const { k, v, y, dy } = io
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
