/** @file How much memory a graph's values need at once, were it run in its own order. Must not know engines. */
import type { Graph, Node } from '../graph/types.ts'
import type { OpName } from '../graph/vocabulary.ts'
import { evaluateDim, sizeOfShape } from '../tensor/dim.ts'
import { BYTES } from '../tensor/dtype.ts'

/** Ops whose output can share its input's memory. */
const ALIASES: ReadonlySet<OpName> = new Set(['reshape', 'detach', 'barrier'])

/** Memory of a node besides its output. */
export interface Workspace {
  /** Bytes alive while the node runs. */
  readonly during?: number
  /** Bytes alive from the node on to the last of these. */
  readonly kept?: { readonly bytes: number; readonly until: readonly Node[] }
}

/**
 * Largest number of bytes alive at any moment, inputs and constants aside; outputs stay alive to the end.
 * `dims` gives every symbol its value; `workspaceOf` says what an engine needs for a node besides its output,
 * `isOutside` which outputs it keeps elsewhere.
 */
export function liveBytes(
  graph: Graph,
  dims: ReadonlyMap<string, number>,
  workspaceOf: (node: Node) => Workspace = () => ({}),
  isOutside: (node: Node) => boolean = () => false,
): number {
  const places = new Map(graph.nodes.map((node, i) => [node, i] as const))
  const changes = new Float64Array(graph.nodes.length + 2)
  const hold = (bytes: number, from: number, to: number): void => {
    changes[from] = (changes[from] ?? 0) + bytes
    changes[to + 1] = (changes[to + 1] ?? 0) - bytes
  }
  const lastUse = lastUses(graph, places)
  graph.nodes.forEach((node, i) => {
    const { during = 0, kept } = workspaceOf(node)
    const last = lastUse.get(node)
    if (last !== undefined && !isOutside(node)) hold(sizeInBytes(node, dims), i, last)
    hold(during, i, i)
    if (kept) hold(kept.bytes, i, Math.max(i, ...kept.until.map((user) => places.get(user) ?? i)))
  })
  let [live, peak] = [0, 0]
  for (const change of changes) {
    live += change
    peak = Math.max(peak, live)
  }
  return peak
}

/** Where each value that has memory of its own is used last. */
function lastUses(graph: Graph, places: ReadonlyMap<Node, number>): Map<Node, number> {
  const owners = new Map<Node, Node>()
  const lastUse = new Map<Node, number>()
  const ownerOf = (node: Node): Node => owners.get(node) ?? node
  for (const node of graph.nodes) {
    const [first] = node.inputs
    owners.set(node, ALIASES.has(node.op) && first ? ownerOf(first) : node)
    for (const used of [node, ...node.inputs]) lastUse.set(ownerOf(used), places.get(node) ?? 0)
  }
  for (const node of graph.outputs.values()) lastUse.set(ownerOf(node), graph.nodes.length - 1)
  return lastUse
}

/** Bytes of a node's value; 0 for inputs and constants. */
export function sizeInBytes(node: Node, dims: ReadonlyMap<string, number>): number {
  if (node.op === 'input' || node.op === 'constant') return 0
  return evaluateDim(sizeOfShape(node.type.shape), dims) * BYTES[node.type.dtype]
}
