/** @file Closing a builder's nodes into an immutable graph. Must not know what an op computes. */
import { invariant } from '../support/errors.ts'
import type { Graph, Node, NodeOf } from './types.ts'

/**
 * The graph of what `outputs` need, and nothing else (so closing a graph is also dead-code elimination). Nodes stand in
 * the order they were built, which is an order to run them in that frees values early: a gradient where its cotangent is.
 */
export function graphOf(outputs: Iterable<readonly [string, Node]>): Graph {
  const named = new Map(outputs)
  const nodes = topological([...named.values()]).sort((a, b) => a.id - b.id)
  const inputs = new Map<string, NodeOf<'input'>>()
  for (const node of nodes) {
    if (node.op !== 'input') continue
    const { name } = node.params
    invariant(!inputs.has(name), `two inputs are named '${name}'`)
    inputs.set(name, node)
  }
  return { nodes, inputs, outputs: named }
}

/**
 * Nodes that `roots` depend on, inputs before users; iterative, since chains are thousands deep.
 * @param leaves nodes whose inputs are not looked at
 */
export function topological(roots: readonly Node[], leaves: ReadonlySet<Node> = new Set()): Node[] {
  const order: Node[] = []
  const done = new Set<Node>()
  const stack: { node: Node; next: number }[] = []
  for (const root of roots) {
    if (done.has(root)) continue
    stack.push({ node: root, next: 0 })
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const input = leaves.has(top.node) ? undefined : top.node.inputs[top.next++]
      if (input) {
        if (!done.has(input)) stack.push({ node: input, next: 0 })
        continue
      }
      stack.pop()
      if (done.has(top.node)) continue
      done.add(top.node)
      order.push(top.node)
    }
  }
  return order
}

/** Every node that needs one of `sources`, the sources included. */
export function dependents(nodes: readonly Node[], sources: ReadonlySet<Node>): Set<Node> {
  const reached = new Set<Node>()
  for (const node of nodes) {
    if (sources.has(node) || node.inputs.some((input) => reached.has(input))) reached.add(node)
  }
  return reached
}

/** The nodes that read each node, each once, in the graph's order; none for what nothing reads. */
export function usersOf({ nodes }: Graph): Map<Node, Node[]> {
  const users = new Map<Node, Node[]>()
  for (const node of nodes)
    for (const input of new Set(node.inputs)) {
      const known = users.get(input)
      if (known) known.push(node)
      else users.set(input, [node])
    }
  return users
}
