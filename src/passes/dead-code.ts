/** @file Drops what no output needs, inputs included. */
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'

/** The graph of `outputs` alone (by default all of the graph's). */
export function eliminateDeadCode(graph: Graph, outputs: Iterable<readonly [string, Node]> = graph.outputs): Graph {
  return graphOf(outputs)
}
