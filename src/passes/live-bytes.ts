/** @file How much memory a graph's values need at once, were it run in its own order. Must not know engines. */
import type { Graph, Node } from '../graph/types.ts'
import type { OpName } from '../graph/vocabulary.ts'
import { evaluateDim, sizeOfShape } from '../tensor/dim.ts'
import { BYTES } from '../tensor/dtype.ts'

/** Ops whose output can share its input's memory. */
const ALIASES: ReadonlySet<OpName> = new Set(['reshape', 'detach', 'barrier'])

/**
 * Largest number of bytes alive at any moment, inputs and constants aside; outputs stay alive to the end.
 * `dims` gives every symbol its value.
 */
export function liveBytes(graph: Graph, dims: ReadonlyMap<string, number>): number {
  const owners = new Map<Node, Node>()
  const lastUse = new Map<Node, number>()
  graph.nodes.forEach((node, i) => {
    const [first] = node.inputs
    owners.set(node, (ALIASES.has(node.op) && first && owners.get(first)) || node)
    for (const used of [node, ...node.inputs]) lastUse.set(owners.get(used) ?? used, i)
  })
  for (const node of graph.outputs.values()) lastUse.set(owners.get(node) ?? node, graph.nodes.length)
  const dying = new Map<number, Node[]>()
  for (const [node, i] of lastUse) dying.set(i, [...(dying.get(i) ?? []), node])
  let live = 0
  let peak = 0
  graph.nodes.forEach((node, i) => {
    if (owners.get(node) === node) live += bytesOf(node, dims)
    peak = Math.max(peak, live)
    for (const dead of dying.get(i) ?? []) live -= bytesOf(dead, dims)
  })
  return peak
}

function bytesOf(node: Node, dims: ReadonlyMap<string, number>): number {
  if (node.op === 'input' || node.op === 'constant') return 0
  return evaluateDim(sizeOfShape(node.type.shape), dims) * BYTES[node.type.dtype]
}
