/**
 * @file The cheapest set of vertices that lie on every way through a graph (Ford & Fulkerson 1956, by shortest ways as
 * Edmonds & Karp 1972). Must not know what the vertices are.
 */

export interface Ways {
  /** Cost of taking each vertex, from 0 to Infinity. */
  readonly costs: readonly number[]
  readonly edges: readonly (readonly [from: number, to: number])[]
  /** Where ways begin and end; both may be taken too. */
  readonly sources: readonly number[]
  readonly sinks: readonly number[]
}

/** Residual network: each vertex is an edge of its cost from its entry 2v to its exit 2v + 1. */
class Network {
  readonly #heads: number[][]
  readonly #to: number[] = []
  readonly #left: number[] = []

  constructor(size: number) {
    this.#heads = Array.from({ length: size }, () => [])
  }

  add(from: number, to: number, capacity: number): void {
    this.#heads[from]?.push(this.#to.length)
    this.#to.push(to)
    this.#left.push(capacity)
    this.#heads[to]?.push(this.#to.length)
    this.#to.push(from)
    this.#left.push(0)
  }

  /** Fills the shortest way that has room; how much went through, 0 where there is none. */
  augment(from: number, to: number): number {
    const by = this.#reached(from, (edge) => this.#left[edge] ?? 0)
    if (!by.has(to)) return 0
    const way: number[] = []
    for (let at = to; at !== from; ) {
      const edge = by.get(at) ?? 0
      way.push(edge)
      at = this.#to[edge ^ 1] ?? from
    }
    const room = Math.min(...way.map((edge) => this.#left[edge] ?? 0))
    for (const edge of way) {
      this.#left[edge] = (this.#left[edge] ?? 0) - room
      this.#left[edge ^ 1] = (this.#left[edge ^ 1] ?? 0) + room
    }
    return room
  }

  /** Those from which `to` can still be reached. */
  reaching(to: number): ReadonlySet<number> {
    return new Set(this.#reached(to, (edge) => this.#left[edge ^ 1] ?? 0).keys())
  }

  /** Vertices reached by edges with room, each with the edge that led there. */
  #reached(from: number, room: (edge: number) => number): Map<number, number> {
    const by = new Map([[from, -1]])
    for (const at of by.keys()) {
      for (const edge of this.#heads[at] ?? []) {
        const next = this.#to[edge] ?? from
        if (room(edge) > 0 && !by.has(next)) by.set(next, edge)
      }
    }
    return by
  }
}

/** The cheapest cut, of equal ones the nearest to the sinks; undefined where every cut costs without end. */
export function minVertexCut({ costs, edges, sources, sinks }: Ways): number[] | undefined {
  const [begin, end] = [2 * costs.length, 2 * costs.length + 1]
  const network = new Network(2 * costs.length + 2)
  costs.forEach((cost, v) => {
    network.add(2 * v, 2 * v + 1, cost)
  })
  for (const [from, to] of edges) network.add(2 * from + 1, 2 * to, Number.POSITIVE_INFINITY)
  for (const v of sources) network.add(begin, 2 * v, Number.POSITIVE_INFINITY)
  for (const v of sinks) network.add(2 * v + 1, end, Number.POSITIVE_INFINITY)
  for (let room = network.augment(begin, end); room > 0; room = network.augment(begin, end))
    if (room === Number.POSITIVE_INFINITY) return undefined
  const below = network.reaching(end)
  return costs.flatMap((_, v) => (below.has(2 * v + 1) && !below.has(2 * v) ? [v] : []))
}
