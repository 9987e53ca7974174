import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { minVertexCut, type Ways } from './min-cut.ts'

describe('minVertexCut', () => {
  it('takes the narrowest place, and of equal ones the nearest to the end', () => {
    const chain = (costs: number[]): Ways => ({
      costs,
      edges: costs.slice(1).map((_, i) => [i, i + 1] as const),
      sources: [0],
      sinks: [costs.length - 1],
    })
    expect(minVertexCut(chain([3, 1, 2]))).toEqual([1])
    expect(minVertexCut(chain([2, 2, 2]))).toEqual([2])
    expect(minVertexCut(chain([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]))).toBeUndefined()
  })

  it('takes one value that is split into three rather than the three', () => {
    const edges = [
      [0, 1],
      [0, 2],
      [0, 3],
    ] as const
    expect(minVertexCut({ costs: [8, 8, 8, 8], edges, sources: [0], sinks: [0, 1, 2, 3] })).toEqual([0])
  })

  it('costs no more than any other cut of random graphs, and lets nothing past', () => {
    const size = 7
    const graphs = fc.record({
      costs: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: size, maxLength: size }),
      links: fc.array(fc.boolean(), { minLength: size * size, maxLength: size * size }),
    })
    fc.assert(
      fc.property(graphs, ({ costs, links }) => {
        const edges = pairs(size).filter(([from, to]) => from < to && links[from * size + to])
        const ways: Ways = { costs, edges, sources: [0, 1], sinks: [size - 2, size - 1] }
        const cut = minVertexCut(ways) ?? []
        const costOf = (taken: readonly number[]): number => taken.reduce((sum, v) => sum + (costs[v] ?? 0), 0)
        expect(passes(ways, new Set(cut))).toBe(false)
        for (let choice = 0; choice < 2 ** size; choice++) {
          const other = costs.flatMap((_, v) => ((choice >> v) & 1 ? [v] : []))
          if (!passes(ways, new Set(other))) expect(costOf(cut)).toBeLessThanOrEqual(costOf(other))
        }
      }),
      { numRuns: 50 },
    )
  })
})

function pairs(size: number): [number, number][] {
  return Array.from({ length: size * size }, (_, i) => [Math.floor(i / size), i % size])
}

/** Whether a way leads around `taken`. */
function passes({ edges, sources, sinks }: Ways, taken: ReadonlySet<number>): boolean {
  const open = sources.filter((v) => !taken.has(v))
  for (const at of open)
    for (const [from, to] of edges) if (from === at && !taken.has(to) && !open.includes(to)) open.push(to)
  return open.some((v) => sinks.includes(v))
}
