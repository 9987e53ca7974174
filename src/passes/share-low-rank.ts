/**
 * @file Low-rank updates of one input (q, k and v; gate and up) multiply it by all their A's at once: the input is read
 * once, forward and backward, and one product has as many columns as there were ranks. For graphs that are still to be
 * differentiated. Must not know engines or models.
 */
import type { Builder } from '../graph/builder.ts'
import type { Graph, Node, NodeOf } from '../graph/types.ts'
import type { OpName } from '../graph/vocabulary.ts'
import { scaledProduct } from '../ops/low-rank.ts'
import { invariant } from '../support/errors.ts'
import { rebuild, rewriteInto } from './rewrite.ts'

type LowRank = NodeOf<'lowRank'>

/** A's with more rows than this share of their width stay apart: a joined copy of them would cost memory. */
const LARGEST_SHARE = 1 / 4

/**
 * Builds `graph` in `g` with updates of one input joined; answers what stands for each node. Updates are expanded, so that
 * forward and backward share the product with A whatever becomes of its input.
 */
export function shareLowRank(g: Builder, graph: Graph): Map<Node, Node> {
  const groups = groupsOf(graph)
  return rewriteInto(g, graph, (_, node, [x, a, b, scale]) => {
    if (node.op !== 'lowRank' || !x || !a || !b || !scale) return undefined
    const group = groups.get(node)
    if (!group) return scaledProduct(g, g.matmul(x, a, { transB: true }), b, scale)
    const factors = group.map(factorOf)
    const copies = factors.map((factor) => copied(g, factor))
    const all = g.matmul(x, g.concat(copies, { axis: 0 }), { transB: true })
    const ranks = factors.map((factor) => Number(factor.type.shape[0]))
    const at = group.indexOf(node)
    const start = ranks.slice(0, at).reduce((sum, rank) => sum + rank, 0)
    const own = g.slice(all, { axis: x.type.shape.length - 1, start, size: ranks[at] ?? 0 })
    return scaledProduct(g, own, b, scale)
  })
}

/** The updates that share their input with others, each with its group in the graph's order. */
function groupsOf(graph: Graph): Map<LowRank, readonly LowRank[]> {
  const byInput = new Map<Node, LowRank[]>()
  for (const node of graph.nodes) {
    const [x] = node.inputs
    if (node.op !== 'lowRank' || !x || !isParameter(factorOf(node)) || !isSlim(factorOf(node))) continue
    byInput.set(x, [...(byInput.get(x) ?? []), node])
  }
  const shared = [...byInput.values()].filter((group) => group.length > 1)
  return new Map(shared.flatMap((group) => group.map((node) => [node, group] as const)))
}

function factorOf({ inputs }: LowRank): Node {
  const a = inputs[1]
  invariant(a, 'a low-rank update without A')
  return a
}

function isSlim({ type }: Node): boolean {
  return Number(type.shape[0]) <= LARGEST_SHARE * Number(type.shape[1])
}

const VIEWS: ReadonlySet<OpName> = new Set(['reshape', 'slice'])

/** A piece of what is trained: known before everything else in the graph. */
function isParameter(node: Node): boolean {
  if (node.op === 'input') return node.params.kind === 'state'
  return VIEWS.has(node.op) && node.inputs.every(isParameter)
}

function copied(g: Builder, node: Node): Node {
  return rebuild(
    g,
    node,
    node.inputs.map((input) => copied(g, input)),
  )
}
