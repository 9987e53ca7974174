/**
 * @file What every pass is made of: rebuilds a graph node by node through a new builder (so types are inferred anew and
 * equal nodes merge), with a rule that may put something else in a node's place. Must not know single ops.
 */
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import type { OpName } from '../graph/vocabulary.ts'
import { newBuilder } from '../ops/index.ts'
import { invariant } from '../support/errors.ts'

/** What stands in `node`'s place over its rebuilt inputs; undefined keeps it as it is. */
export type Rule = (g: Builder, node: Node, inputs: readonly Node[]) => Node | undefined

/** The graph with `rule` applied to every node, inputs first; what nothing needs any more is gone. */
export function rewrite(graph: Graph, rule: Rule): Graph {
  const mapped = rewriteInto(newBuilder(), graph, rule)
  return graphOf([...graph.outputs].map(([name, node]) => [name, image(mapped, node)]))
}

/** Builds a graph's nodes in another builder, to go on from there; answers what stands for each. */
export function rewriteInto(g: Builder, graph: Graph, rule: Rule = () => undefined): Map<Node, Node> {
  const mapped = new Map<Node, Node>()
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => image(mapped, input))
    mapped.set(
      node,
      g.during(node.phase, node.scope, () => rule(g, node, inputs) ?? rebuild(g, node, inputs)),
    )
  }
  return mapped
}

/** The same op with the same parameters over other inputs. */
export function rebuild(g: Builder, node: Node, inputs: readonly Node[]): Node {
  return g.apply<OpName>(node.op, inputs, node.params as never)
}

function image(mapped: ReadonlyMap<Node, Node>, node: Node): Node {
  const found = mapped.get(node)
  invariant(found, `node ${node.id} (${node.op}) is used before it is built`)
  return found
}
