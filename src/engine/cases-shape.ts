/** @file Conformance cases of reductions, matrix products and ops that move elements. */
import type { Dim } from '../tensor/dim.ts'
import type { EngineCase } from './case.ts'

const reductions: EngineCase[] = (
  [
    ['the last axis, kept', [2], true],
    ['the first axis', [0], false],
    ['two axes', [0, 2], false],
    ['all axes', [0, 1, 2], false],
  ] as const
).flatMap(([how, axes, keepDims]) =>
  (['sum', 'reduceMax'] as const).map((op) => ({
    name: `${op} over ${how}`,
    runs: [
      { b: 2, s: 3 },
      { b: 3, s: 2 },
    ],
    build: ({ g, f32 }) => ({ y: g[op](f32('x', ['b', 's', 4]), { axes, keepDims }) }),
  })),
)

/** Shapes of both operands as they stand in the product, before transposition is undone. */
const PRODUCTS: readonly (readonly [string, readonly Dim[], readonly Dim[]])[] = [
  ['two matrices', ['n', 3], [3, 4]],
  ['a stack and a matrix', ['b', 'n', 3], [3, 4]],
  ['a matrix and a stack', [4, 3], ['b', 3, 'n']],
  ['two stacks', ['b', 2, 'n', 3], ['b', 2, 3, 'n']],
  ['stacks that broadcast', ['b', 1, 'n', 3], [2, 3, 5]],
]
const flip = (shape: readonly Dim[]): Dim[] => {
  const [x = 1, y = 1] = shape.slice(-2)
  return [...shape.slice(0, -2), y, x]
}

const products: EngineCase[] = PRODUCTS.flatMap(([how, a, b]) =>
  [false, true].flatMap((transA) =>
    [false, true].map((transB) => ({
      name: `matmul of ${how}${transA ? ', transA' : ''}${transB ? ', transB' : ''}`,
      runs: [
        { b: 2, n: 3 },
        { b: 3, n: 2 },
      ],
      build: ({ g, f32 }) => {
        const [x, y] = [f32('x', transA ? flip(a) : a), f32('y', transB ? flip(b) : b)]
        return { y: g.matmul(x, y, { transA, transB, alpha: transA === transB ? 1 : 0.25 }) }
      },
    })),
  ),
)

const weightProducts: EngineCase[] = [false, true].map((transB) => ({
  name: `matmul against a frozen weight, both ways${transB ? ', transB first' : ''}`,
  runs: [{ b: 2, s: 3 }],
  build: ({ g, f32, weight }) => {
    const w = weight('w', transB ? [5, 4] : [4, 5])
    const y = g.matmul(f32('x', ['b', 's', 4]), w, { transB })
    return { y, back: g.matmul(y, w, { transB: !transB, alpha: -2 }) }
  },
}))

const moves: readonly EngineCase[] = [
  {
    name: 'reshape splits heads, transpose brings them forward, and back',
    runs: [
      { b: 2, s: 3 },
      { b: 1, s: 5 },
    ],
    build: ({ g, f32 }) => {
      const x = f32('x', ['b', 's', 6])
      const heads = g.transpose(g.reshape(x, { shape: ['b', 's', 2, 3] }), { perm: [0, 2, 1, 3] })
      const back = g.reshape(g.transpose(heads, { perm: [0, 2, 1, 3] }), { shape: ['b*s', 6] })
      return { heads, back }
    },
  },
  {
    name: 'transpose of three axes, no two in place',
    build: ({ g, f32 }) => ({ y: g.transpose(f32('x', [2, 3, 4]), { perm: [2, 0, 1] }) }),
  },
  {
    name: 'expand of a scalar, a row and a column',
    runs: [{ n: 3 }, { n: 1 }],
    build: ({ g, f32 }) => {
      const shape = ['n', 4] as const
      const column = g.expand(f32('column', ['n', 1]), { shape })
      return { scalar: g.expand(f32('x', []), { shape }), row: g.expand(f32('row', [4]), { shape }), column }
    },
  },
  {
    name: 'slice in the middle, of the last and of an inner axis',
    runs: [{ n: 2 }],
    build: ({ g, f32 }) => {
      const x = f32('x', ['n', 3, 6])
      return { last: g.slice(x, { axis: 2, start: 2, size: 3 }), inner: g.slice(x, { axis: 1, start: 1, size: 1 }) }
    },
  },
  {
    name: 'pad before and after, of the last and of an inner axis',
    runs: [{ n: 2 }],
    build: ({ g, f32 }) => {
      const x = f32('x', ['n', 2, 3])
      return { last: g.pad(x, { axis: 2, before: 1, after: 2 }), inner: g.pad(x, { axis: 1, before: 0, after: 1 }) }
    },
  },
  {
    name: 'concat of three along the last axis',
    runs: [{ n: 2 }],
    build: ({ g, f32 }) => {
      const parts = [f32('a', ['n', 2]), f32('b', ['n', 1]), f32('c', ['n', 3])]
      return { y: g.concat(parts, { axis: 1 }) }
    },
  },
  {
    name: 'concat along symbolic axes, as a cache grows',
    runs: [
      { past: 0, s: 2 },
      { past: 3, s: 1 },
    ],
    frozen: ['past', 'now'],
    build: ({ g, f32 }) => ({ y: g.concat([f32('past', [2, 'past', 3]), f32('now', [2, 's', 3])], { axis: 1 }) }),
  },
  {
    name: 'constants of both dtypes',
    build: ({ g, f32 }) => {
      const table = g.constant({ dtype: 'f32', shape: [2, 3], values: [1, 2, 3, -4, 5.5, 6] })
      const ids = g.constant({ dtype: 'i64', shape: [3], values: [1, 0, 1] })
      return { y: g.add(g.gather(table, ids), f32('x', [3])) }
    },
  },
  {
    name: 'detach and barrier pass values on',
    runs: [{ n: 3 }],
    frozen: ['stopped', 'after'],
    build: ({ g, f32, ids, bits }) => {
      const after = g.exp(f32('after', ['n']))
      return {
        detach: g.add(g.detach(f32('stopped', ['n'])), 1),
        floats: g.mul(g.barrier(f32('x', ['n', 2]), after), 2),
        ints: g.barrier(ids('ids', ['n'], 9), after),
        mask: g.dropoutMask(g.barrier(bits('keys', ['n']), after), { site: 3, rate: 0.5, trailing: [4] }),
      }
    },
  },
]

export const shapeCases: readonly EngineCase[] = [...reductions, ...products, ...weightProducts, ...moves]
