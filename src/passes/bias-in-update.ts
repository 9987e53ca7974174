/**
 * @file A layer's bias rides on its low-rank update: `x·Wᵀ + b + s·h·Bᵀ` is `x·Wᵀ + s·[h, 1/s]·[B, b]ᵀ`, which reads and
 * writes the layer's output once less, and rounds the bias once more. For graphs whose backward is built. Must not know
 * engines or models.
 */
import type { Builder } from '../graph/builder.ts'
import { usersOf } from '../graph/graph.ts'
import type { Graph, Node, NodeOf } from '../graph/types.ts'
import { rewrite } from './rewrite.ts'

/** Copies of the factors must be nothing beside the output. */
const LARGEST_RANK_SHARE = 1 / 8

export function biasInUpdate(graph: Graph): Graph {
  const users = usersOf(graph)
  const outputs = new Set(graph.outputs.values())
  const usedOnce = (node: Node): boolean => users.get(node)?.length === 1 && !outputs.has(node)
  return rewrite(graph, (g, node, [first, second]) => {
    if (node.op !== 'add' || !node.inputs.every(usedOnce)) return undefined
    return joined(g, first, second) ?? joined(g, second, first)
  })
}

/** @param biased `M + b`, where it is that */
function joined(g: Builder, biased: Node | undefined, update: Node | undefined): Node | undefined {
  const [product, bias] = biased?.op === 'add' ? biased.inputs : []
  if (!product || bias?.type.shape.length !== 1 || product.type.shape.length < 2) return undefined
  if (update?.op !== 'matmul' || !isUpdate(update)) return undefined
  const [h, b] = update.inputs
  const [out] = bias.type.shape
  if (!h || !b || out === undefined || out !== b.type.shape[0]) return undefined
  const { alpha } = update.params
  const one = g.expand(g.scalar(1 / alpha), { shape: [...h.type.shape.slice(0, -1), 1] })
  const wide = g.concat([h, one], { axis: h.type.shape.length - 1 })
  const factor = g.concat([b, g.reshape(bias, { shape: [out, 1] })], { axis: 1 })
  return g.add(product, g.matmul(wide, factor, update.params))
}

/** `alpha · h·Bᵀ`, h far narrower than the output. */
function isUpdate({ inputs: [h, b], params, type }: NodeOf<'matmul'>): boolean {
  const [rank, out] = [Number(h?.type.shape.at(-1)), Number(type.shape.at(-1))]
  const { transA, transB, alpha } = params
  return (
    !transA &&
    transB &&
    Number.isFinite(Math.fround(1 / alpha)) &&
    b?.type.shape.length === 2 &&
    rank <= LARGEST_RANK_SHARE * out
  )
}
