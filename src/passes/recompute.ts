/**
 * @file Gradient checkpointing by block (Chen et al., arXiv 1604.06174): what a block's backward needs of its forward is
 * computed again from the block's inputs, so that between the two only the values that cross blocks stay alive.
 * Works on graphs with their backward built, composites and all. Must not know models or engines.
 *
 * The same machinery recomputes no more than what costs next to nothing: norms, activations and moved elements of values
 * that are kept anyway. A Llama's block then keeps half of what it would, for a hundredth of the time.
 */
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import type { OpName } from '../graph/vocabulary.ts'
import { newBuilder } from '../ops/index.ts'
import { invariant } from '../support/errors.ts'
import { rebuild } from './rewrite.ts'

export type BlockOf = (scope: string) => string | undefined

/** A scope's block as models number them: `model.layers.3.mlp` stands in `model.layers.3`. */
export const numberedBlock: BlockOf = (scope) => /^(?:.*?\.)?\d+(?=\.|$)/.exec(scope)?.[0]

/** What is computed again: everything inside a block, or what follows cheaply from values that are kept. */
export type Recomputed = 'everything' | 'cheap'

/** Recomputes every block (see `blockOf`) that has both forward values its backward needs and a cotangent to wait for. */
export function recompute(graph: Graph, blockOf: BlockOf, what: Recomputed = 'everything'): Graph {
  const plan = planOf(graph, blockOf, what)
  const g = newBuilder()
  const mapped = new Map<Node, Node>()
  const image = (node: Node): Node => {
    const found = mapped.get(node)
    invariant(found, `node ${node.id} (${node.op}) is used before it is built`)
    return found
  }
  const clones = new Map<string, (node: Node) => Node>()
  for (const [block, after] of plan.after)
    clones.set(
      block,
      cloner(g, plan, block, image, () => image(after)),
    )
  for (const node of plan.order) {
    const clone = clones.get(plan.blocks.get(node) ?? '')
    const inputs = node.inputs.map((input) => (clone && plan.repeats(node, input) ? clone(input) : image(input)))
    mapped.set(
      node,
      g.during(node.phase, node.scope, () => rebuild(g, node, inputs)),
    )
  }
  return graphOf([...graph.outputs].map(([name, node]) => [name, image(node)]))
}

interface Plan {
  readonly blocks: ReadonlyMap<Node, string>
  /** Block → the cotangent without which its forward must not run again. */
  readonly after: ReadonlyMap<string, Node>
  /** Whether backward node `user` gets `input` recomputed. */
  readonly repeats: (user: Node, input: Node) => boolean
  /** Whether a forward value is used in its own block only. */
  readonly isInside: (node: Node) => boolean
  /** Nodes over frozen weights and constants alone: the same in every run, so an engine may fold them. */
  readonly fixed: ReadonlySet<Node>
  /** Nodes in an order in which each follows its inputs and, where it gets recomputed values, its block's cotangent. */
  readonly order: readonly Node[]
}

function planOf(graph: Graph, blockOf: BlockOf, what: Recomputed): Plan {
  const blocks = new Map<Node, string>()
  for (const node of graph.nodes) {
    const block = blockOf(node.scope)
    if (block !== undefined && !isLeaf(node)) blocks.set(node, block)
  }
  const crossing = new Set<Node>(graph.outputs.values())
  for (const node of graph.nodes)
    for (const input of node.inputs) if (blocks.get(input) !== blocks.get(node)) crossing.add(input)
  const repeats = (user: Node, input: Node): boolean =>
    user.phase !== 'forward' && isInside(input) && blocks.get(input) === blocks.get(user)
  const chosen = what === 'cheap' ? cheapValues(graph) : undefined
  // A value that crosses blocks is alive anyway: no need to compute it twice.
  const isInside = (node: Node): boolean =>
    node.phase === 'forward' && blocks.has(node) && !crossing.has(node) && chosen?.has(node) !== false

  const users = new Map<string, Set<Node>>()
  for (const node of graph.nodes) {
    const block = blocks.get(node)
    if (block === undefined || !node.inputs.some((input) => repeats(node, input))) continue
    users.set(block, (users.get(block) ?? new Set()).add(node))
  }
  const after = new Map<string, Node>()
  const waits = new Map<Node, Node>()
  for (const [block, own] of users) {
    const cotangent = cotangentOf(graph, blocks, block, own, waits)
    if (!cotangent) continue
    after.set(block, cotangent)
    for (const node of own) waits.set(node, cotangent)
  }
  return {
    blocks,
    after,
    repeats,
    isInside,
    fixed: fixedNodes(graph),
    order: ordered(graph, waits),
  }
}

/** Ops that pass over their inputs once, and cost no more than that: gelu's erf does. */
const CHEAP: ReadonlySet<OpName> = new Set([
  ...(['neg', 'add', 'sub', 'mul', 'div', 'select', 'cast', 'reshape', 'transpose', 'slice', 'expand'] as const),
  ...(['relu', 'silu', 'rmsNorm', 'layerNorm'] as const),
])

/** Forward values that follow by cheap ops from what the backward pass keeps anyway, inputs and weights among it. */
function cheapValues(graph: Graph): Set<Node> {
  const needed = new Set<Node>()
  for (const node of graph.nodes)
    if (node.phase !== 'forward') for (const input of node.inputs) if (input.phase === 'forward') needed.add(input)
  const [cheap, atHand] = [new Set<Node>(), new Set<Node>()]
  for (const node of graph.nodes) {
    if (node.phase !== 'forward') continue
    if (CHEAP.has(node.op) && node.inputs.every((input) => atHand.has(input))) cheap.add(node)
    if (isLeaf(node) || cheap.has(node) || needed.has(node)) atHand.add(node)
  }
  return cheap
}

/** The deepest backward value that enters the block from outside and does not itself wait for the block. */
function cotangentOf(
  graph: Graph,
  blocks: ReadonlyMap<Node, string>,
  block: string,
  users: ReadonlySet<Node>,
  waits: ReadonlyMap<Node, Node>,
): Node | undefined {
  const entering = new Set<Node>()
  for (const node of graph.nodes) {
    if (node.phase === 'forward' || blocks.get(node) !== block) continue
    for (const input of node.inputs)
      if (input.phase !== 'forward' && blocks.get(input) !== block && !isLeaf(input)) entering.add(input)
  }
  return [...entering].sort((a, b) => b.id - a.id).find((node) => !reaches(node, users, waits))
}

function reaches(from: Node, targets: ReadonlySet<Node>, waits: ReadonlyMap<Node, Node>): boolean {
  const seen = new Set<Node>()
  const open = [from]
  for (let node = open.pop(); node; node = open.pop()) {
    if (targets.has(node)) return true
    if (seen.has(node)) continue
    seen.add(node)
    const wait = waits.get(node)
    open.push(...node.inputs, ...(wait ? [wait] : []))
  }
  return false
}

function ordered(graph: Graph, waits: ReadonlyMap<Node, Node>): Node[] {
  const done = new Set<Node>()
  const order: Node[] = []
  for (const root of graph.nodes) {
    const stack = [root]
    for (let node = stack.at(-1); node; node = stack.at(-1)) {
      const wait = waits.get(node)
      const missing = [...node.inputs, ...(wait ? [wait] : [])].filter((n) => !done.has(n))
      if (missing.length > 0 && !done.has(node)) stack.push(...missing)
      else {
        stack.pop()
        if (!done.has(node)) order.push(node)
        done.add(node)
      }
    }
  }
  return order
}

/**
 * Builds a block's forward values again. A node none of whose inputs changes (the block's first use of the value that
 * enters it, a dropout mask over its keys) takes one of them through a barrier: that keeps the builder from finding the
 * original, and everything computed from it waits for the cotangent too.
 */
function cloner(
  g: Builder,
  plan: Plan,
  block: string,
  image: (node: Node) => Node,
  after: () => Node,
): (node: Node) => Node {
  const built = new Map<Node, Node>()
  const clone = (node: Node): Node => {
    const known = built.get(node)
    if (known) return known
    const found = build(node)
    built.set(node, found)
    return found
  }
  const hold = (node: Node): Node => g.during('backward', block, () => g.barrier(image(node), after()))
  const build = (node: Node): Node => {
    if (plan.blocks.get(node) !== block || plan.fixed.has(node) || !plan.isInside(node)) return image(node)
    const inputs = node.inputs.map(clone)
    if (inputs.every((input, i) => input === image(node.inputs[i] ?? node))) {
      const at = node.inputs.findIndex((n) => !plan.fixed.has(n))
      const source = node.inputs[at]
      if (source) inputs[at] = hold(source)
    }
    return g.during('backward', node.scope, () => rebuild(g, node, inputs))
  }
  return clone
}

function isLeaf(node: Node): boolean {
  return node.op === 'input' || node.op === 'constant'
}

/** Nodes over frozen weights and constants alone. */
function fixedNodes(graph: Graph): Set<Node> {
  const fixed = new Set<Node>()
  for (const node of graph.nodes) {
    if (node.op === 'input' ? node.params.kind === 'weight' : node.inputs.every((n) => fixed.has(n))) fixed.add(node)
  }
  return fixed
}
