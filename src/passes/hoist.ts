/**
 * @file Hoisting: what follows from weights alone is the same in every run, so it is computed once and fed as a weight.
 * For graphs that run often on frozen weights (a DoRA norm passes over whole matrices to give one number a row).
 * Must not know engines.
 */
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import { rewrite } from './rewrite.ts'

export interface Hoisted {
  /** Asks for the outputs of `once` as weights of the same names. */
  readonly graph: Graph
  /** Reads weights only; undefined where there is nothing to hoist. */
  readonly once: Graph | undefined
}

export function hoist(graph: Graph): Hoisted {
  const fixed = fixedNodes(graph)
  const names = new Map([...frontier(graph, fixed)].map((node, i) => [node, `hoisted.${i}`]))
  if (names.size === 0) return { graph, once: undefined }
  const rest = rewrite(graph, (g, node) => {
    const name = names.get(node)
    return name === undefined ? undefined : g.weight(name, node.type.shape.map(Number))
  })
  return { graph: rest, once: graphOf([...names].map(([node, name]) => [name, node] as const)) }
}

/** Nodes that depend on weights and constants alone, and whose size no feed says (a row spread over a batch is as wide as it). */
function fixedNodes({ nodes }: Graph): Set<Node> {
  const fixed = new Set<Node>()
  for (const node of nodes) {
    if (!node.type.shape.every((extent) => typeof extent === 'number')) continue
    const isLeaf = node.op === 'constant' || (node.op === 'input' && node.params.kind === 'weight')
    if (isLeaf || (node.inputs.length > 0 && node.inputs.every((input) => fixed.has(input)))) fixed.add(node)
  }
  return fixed
}

/** Fixed nodes, not weights themselves, that something not fixed needs. */
function frontier({ nodes, outputs }: Graph, fixed: ReadonlySet<Node>): Set<Node> {
  const wanted = new Set<Node>()
  const want = (node: Node): void => {
    const computes = node.op !== 'input' && node.op !== 'constant'
    if (computes && fixed.has(node) && node.type.dtype === 'f32' && readsWeight(node)) wanted.add(node)
  }
  for (const node of nodes) if (!fixed.has(node)) for (const input of node.inputs) want(input)
  for (const node of outputs.values()) want(node)
  return wanted
}

function readsWeight(node: Node): boolean {
  return node.op === 'input' || node.inputs.some(readsWeight)
}
