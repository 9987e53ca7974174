/** @file Replaces composite ops by what they stand for. Must not know engines. */
import type { Graph, Node, NodeOf } from '../graph/types.ts'
import type { CompositeName } from '../graph/vocabulary.ts'
import type { CompositeDefinition } from '../ops/definition.ts'
import { compositeOps, isComposite, namedInputs } from '../ops/index.ts'
import { rewrite } from './rewrite.ts'

/** Expands every composite that is not in `kept`, and what its expansion brings in, until none is left. */
export function expandComposites(graph: Graph, kept: ReadonlySet<CompositeName>): Graph {
  const foreign = (node: Node): boolean => isComposite(node.op) && !kept.has(node.op)
  let out = graph
  while (out.nodes.some(foreign)) {
    out = rewrite(out, (g, node, inputs) => {
      if (!foreign(node)) return undefined
      const { op, params } = node as NodeOf<CompositeName>
      const definition = compositeOps[op] as CompositeDefinition<CompositeName>
      return definition.expand(g, namedInputs(definition.inputs, inputs), params as never)
    })
  }
  return out
}
