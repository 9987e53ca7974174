/**
 * @file Attention with something between its parts, which the fused op cannot have. Must not know where queries and keys
 * come from.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { hashName } from '../support/random.ts'
import { type Dim, mulDims } from '../tensor/dim.ts'

/** Attention with something between its parts, so not the fused op: a cap or an addend on the scores, dropped weights. */
export function attentionByParts(io: {
  g: Builder
  q: Node
  k: Node
  v: Node
  bias: Node
  scale: number
  softcap: number | undefined
  added: Node | undefined
  keys: Node | undefined
  rate: number
}): Node {
  const { g, q, k, v, bias, scale, softcap, added, keys, rate } = io
  const [b = 1, h = 1, s = 1, d = 1] = q.type.shape
  const [, kv = 1, t = 1] = k.type.shape
  const rows: Dim = mulDims(Number(h) / Number(kv), s)
  const raw = g.matmul(g.reshape(q, { shape: [b, kv, rows, d] }), k, { transB: true, alpha: scale })
  const scores = g.reshape(softcap === undefined ? raw : squash(g, raw, softcap), { shape: [b, h, s, t] })
  const biased = g.add(added ? g.add(scores, added) : scores, bias)
  const site = hashName(`${g.scope}.attention`)
  const mask = keys && g.dropoutMask(keys, { site, rate, before: [h], trailing: [t] })
  const kept = mask ? g.maskedSoftmax(biased, mask) : g.softmax(biased)
  return g.reshape(g.matmul(g.reshape(kept, { shape: [b, kv, rows, t] }), v), { shape: [b, h, s, d] })
}

/** cap · tanh(x / cap). */
export function squash(g: Builder, x: Node, cap: number): Node {
  return g.mul(g.tanh(g.mul(x, 1 / cap)), cap)
}
