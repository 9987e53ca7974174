/**
 * @file What of a forward graph is the same for a row in every step: below the lowest trained or random value, activations
 * follow from the row alone. Finds where to cut so that little has to be kept for each row.
 * For graphs that are still to be differentiated. Must not know engines, models or where values are kept.
 */
import { graphOf } from '../graph/graph.ts'
import { minVertexCut } from '../graph/min-cut.ts'
import type { Graph, Node } from '../graph/types.ts'
import { type Dim, mulDims } from '../tensor/dim.ts'
import { rewrite } from './rewrite.ts'

/** Feeds that say what a row is, and those that say where its tokens stand. All others change from step to step. */
export interface RowFeeds {
  readonly content: ReadonlySet<string>
  readonly places: ReadonlySet<string>
}

export interface FrozenPrefix {
  /** Gives `prefix.0`, … from the row's feeds and frozen weights. */
  readonly graph: Graph
  /** The nodes that those are, by name. */
  readonly cut: ReadonlyMap<string, Node>
}

/** A token's value is kept for each token of a row, a label's for each label: there are about this many times more. */
const TOKENS_A_LABEL = 16

/** Where values stand: at tokens, or at states that predict a label. */
export function standsAt({ type }: Pick<Node, 'type'>): 'tokens' | 'labels' | undefined {
  const [first, second] = type.shape
  if (type.dtype !== 'f32') return undefined
  if (first === 'labelled') return 'labels'
  return first === mulDims('batch', 'seq') || (first === 'batch' && second === 'seq') ? 'tokens' : undefined
}

/** Numbers kept for each token or label; undefined where the shape says another thing of batch or length again. */
export function widthOf(node: Pick<Node, 'type'>): number | undefined {
  const leading = node.type.shape[0] === 'batch' ? 2 : 1
  const rest: readonly Dim[] = node.type.shape.slice(leading)
  return rest.every((d) => typeof d === 'number') ? rest.reduce<number>((product, d) => product * d, 1) : undefined
}

/** The prefix with a product in it that is cheapest to keep; undefined where nothing is worth keeping. */
export function findFrozenPrefix(graph: Graph, feeds: RowFeeds): FrozenPrefix | undefined {
  const kinds = kindsOf(graph, feeds)
  const rows = graph.nodes.filter((node) => kinds.get(node) === 'row')
  const index = new Map(rows.map((node, i) => [node, i]))
  const at = (node: Node): number[] => {
    const i = index.get(node)
    return i === undefined ? [] : [i]
  }
  const found = minVertexCut({
    costs: rows.map(costOf),
    edges: rows.flatMap((node, to) => node.inputs.flatMap(at).map((from) => [from, to] as const)),
    sources: rows.flatMap((node, i) => (node.inputs.some((input) => kinds.get(input) === 'row') ? [] : [i])),
    sinks: [
      ...graph.nodes.flatMap((node) => (kinds.get(node) === 'varies' ? node.inputs.flatMap(at) : [])),
      ...[...graph.outputs.values()].flatMap(at),
    ],
  })
  const cut = new Map((found ?? []).flatMap((i) => rows[i] ?? []).map((node, i) => [`prefix.${i}`, node]))
  const prefix = graphOf(cut)
  return prefix.nodes.some(multiplies) ? { graph: prefix, cut } : undefined
}

/** The graph with feeds in place of what the prefix gives. */
export function abovePrefix(graph: Graph, { cut }: FrozenPrefix): Graph {
  const names = new Map([...cut].map(([name, node]) => [node, name]))
  return rewrite(graph, (g, node) => {
    const name = names.get(node)
    return name === undefined ? undefined : g.feed(name, node.type)
  })
}

function multiplies({ op }: Node): boolean {
  return op === 'matmul' || op === 'attention'
}

/** `row`: follows from the row and frozen weights. `place`: from weights and places alone, so it costs little. */
type Kind = 'row' | 'place' | 'varies'

function kindsOf(graph: Graph, { content, places }: RowFeeds): Map<Node, Kind> {
  const kinds = new Map<Node, Kind>()
  for (const node of graph.nodes) {
    if (node.op === 'input') {
      const { kind, name } = node.params
      const fixed = kind === 'weight' || (kind === 'feed' && places.has(name))
      kinds.set(node, kind === 'feed' && content.has(name) ? 'row' : fixed ? 'place' : 'varies')
      continue
    }
    const below = node.inputs.map((input) => kinds.get(input))
    kinds.set(node, below.includes('varies') ? 'varies' : below.includes('row') ? 'row' : 'place')
  }
  return kinds
}

function costOf(node: Node): number {
  const [place, width] = [standsAt(node), widthOf(node)]
  if (place === undefined || width === undefined) return Number.POSITIVE_INFINITY
  return place === 'tokens' ? width * TOKENS_A_LABEL : width
}
