import { describe, expect, it } from 'vitest'
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import { printGraph } from '../graph/print.ts'
import type { Node } from '../graph/types.ts'
import { newBuilder, verify } from '../ops/index.ts'
import { fold } from './fold.ts'

/** What folding leaves of a graph over feeds x `[3, 4]`, y `[4]`. */
function folded(build: (g: Builder, x: Node, y: Node) => Node): string[] {
  const g = newBuilder()
  const x = g.feed('x', { dtype: 'f32', shape: [3, 4] })
  const y = g.feed('y', { dtype: 'f32', shape: [4] })
  const out = verify(fold(graphOf([['out', build(g, x, y)]])))
  return printGraph(out)
    .split('\n')
    .filter((line) => line.includes('%') || line.includes('return'))
    .map((line) => line.trim())
}

describe('fold', () => {
  it.each<[string, (g: Builder, x: Node, y: Node) => Node]>([
    ['x·1', (g, x) => g.mul(x, 1)],
    ['1·x', (g, x) => g.mul(1, x)],
    ['x+0', (g, x) => g.add(x, 0)],
    ['0+x', (g, x) => g.add(0, x)],
    ['x−0', (g, x) => g.sub(x, 0)],
    ['x/1', (g, x) => g.div(x, 1)],
    ['−−x', (g, x) => g.neg(g.neg(x))],
    ['x·(2·½)', (g, x) => g.mul(x, g.mul(g.scalar(2), 0.5))],
    ['cast to the same', (g, x) => g.cast(x, { to: 'f32' })],
    ['detach', (g, x) => g.detach(x)],
    ['reshape to the same', (g, x) => g.reshape(x, { shape: [3, 4] })],
    ['reshape there and back', (g, x) => g.reshape(g.reshape(x, { shape: [12] }), { shape: [3, 4] })],
    ['expand to the same', (g, x) => g.expand(x, { shape: [3, 4] })],
    ['transpose to the same', (g, x) => g.transpose(x, { perm: [0, 1] })],
    ['transpose there and back', (g, x) => g.transpose(g.transpose(x, { perm: [1, 0] }), { perm: [1, 0] })],
    ['sum over no axes', (g, x) => g.sum(x, { axes: [] })],
    ['slice of everything', (g, x) => g.slice(x, { axis: 1, start: 0, size: 4 })],
    ['pad by nothing', (g, x) => g.pad(x, { axis: 0, before: 0, after: 0 })],
    ['concat of one', (g, x) => g.concat([x], { axis: 0 })],
    ['x + an expanded zero', (g, x) => g.add(x, g.expand(g.scalar(0), { shape: [3, 4] }))],
    ['x · a reshaped one', (g, x) => g.mul(x, g.reshape(g.scalar(1), { shape: [1, 1] }))],
  ])('drops %s', (_, build) => {
    expect(folded(build)).toEqual(['return out=x'])
  })

  it('joins neighbouring cotangents of slices', () => {
    const parts = (g: Builder, x: Node, ...befores: number[]): Node[] =>
      befores.map((before) =>
        g.pad(g.slice(x, { axis: 1, start: before, size: 1 }), { axis: 1, before, after: 3 - before }),
      )
    const joined = (...befores: number[]) =>
      folded((g, x) => parts(g, x, ...befores).reduce((a, b) => g.add(a, b))).filter((line) => !line.includes('slice'))
    expect(joined(2, 1, 0, 3)).toEqual(['%4 = concat(%2, %1, %0, %3, axis=1) : f32[3, 4]', 'return out=%4'])
    expect(joined(1, 2)).toEqual([
      '%2 = concat(%0, %1, axis=1) : f32[3, 2]',
      '%3 = pad(%2, axis=1, before=1, after=1) : f32[3, 4]',
      'return out=%3',
    ])
    expect(joined(0, 2).at(-2)).toMatch(/add/)
  })

  it('keeps what only looks neutral', () => {
    expect(folded((g, x) => g.sub(0, x))).toEqual(['%0 = sub(0, x) : f32[3, 4]', 'return out=%0'])
    expect(folded((g, x) => g.div(1, x))).toEqual(['%0 = div(1, x) : f32[3, 4]', 'return out=%0'])
    expect(folded((g, x) => g.mul(x, 0))).toEqual(['%0 = mul(x, 0) : f32[3, 4]', 'return out=%0'])
    // 1·y has y's values, but x's shape.
    const ones = (g: Builder, shape: readonly number[]): Node =>
      g.constant({ dtype: 'f32', shape, values: new Array(12).fill(1) })
    expect(folded((g, _, y) => g.mul(ones(g, [3, 4]), y)).length).toBe(3)
  })

  it('lets ops broadcast instead of expanding their operands, where the shape stays', () => {
    expect(folded((g, x, y) => g.mul(x, g.expand(y, { shape: [3, 4] })))).toEqual([
      '%0 = mul(x, y) : f32[3, 4]',
      'return out=%0',
    ])
    // Neither side may lose its expansion when the other has lost its own.
    const both = (g: Builder, y: Node): Node => g.expand(y, { shape: [3, 4] })
    expect(folded((g, _, y) => g.mul(both(g, y), both(g, y)))).toHaveLength(3)
  })

  it('joins chains', () => {
    expect(
      folded((g, x) =>
        g.transpose(g.transpose(g.reshape(x, { shape: [3, 2, 2] }), { perm: [1, 0, 2] }), { perm: [1, 2, 0] }),
      ),
    ).toEqual([
      '%0 = reshape(x, shape=[3, 2, 2]) : f32[3, 2, 2]',
      '%1 = transpose(%0, perm=[0, 2, 1]) : f32[3, 2, 2]',
      'return out=%1',
    ])
    expect(folded((g, _, y) => g.expand(g.expand(y, { shape: [3, 4] }), { shape: [2, 3, 4] }))).toEqual([
      '%0 = expand(y, shape=[2, 3, 4]) : f32[2, 3, 4]',
      'return out=%0',
    ])
  })
})
