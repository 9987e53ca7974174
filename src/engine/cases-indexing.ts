/** @file Conformance cases of reading and adding rows by index, and of dropout masks. */
import type { Node } from '../graph/types.ts'
import type { EngineCase } from './case.ts'

export const indexingCases: readonly EngineCase[] = [
  {
    name: 'gather of rows by a matrix of ids',
    runs: [
      { b: 2, s: 3 },
      { b: 1, s: 1 },
    ],
    build: ({ g, weight, ids }) => ({ y: g.gather(weight('table', [7, 3]), ids('ids', ['b', 's'], 7)) }),
  },
  {
    name: 'gather from a symbolic table, and of scalars',
    runs: [{ n: 4, m: 6 }],
    build: ({ g, f32, ids }) => {
      const which = ids('ids', ['m'], 4)
      return { rows: g.gather(f32('rows', ['n', 2]), which), scalars: g.gather(f32('line', ['n']), which) }
    },
  },
  {
    name: 'gather of u32 and i64 tables',
    build: ({ g, bits, i64 }) => {
      const which = i64('which', [3, 0, 3])
      return {
        keys: g.cast(g.gather(bits('keys', [4]), which), { to: 'i64' }),
        ids: g.gather(which, i64('at', [2, 1])),
      }
    },
  },
  {
    name: 'scatterAdd with repeated ids',
    build: ({ g, f32, i64 }) => ({ y: g.scatterAdd(i64('ids', [2, 0, 2, 2]), f32('x', [4, 3]), { rows: 4 }) }),
  },
  {
    name: 'scatterAdd by a matrix of ids into symbolic rows, and of scalars',
    runs: [{ n: 5, b: 2, s: 3 }],
    build: ({ g, f32, ids }) => {
      const which = ids('ids', ['b', 's'], 5)
      const own = f32('own', ['n', 2])
      return {
        rows: g.add(own, g.scatterAdd(which, f32('x', ['b', 's', 2]), { rows: 'n' })),
        scalars: g.scatterAdd(which, f32('line', ['b', 's']), { rows: 'n' }),
      }
    },
  },
  {
    name: 'scatterAdd of distinct ids into symbolic rows, and of scalars',
    runs: [{ n: 5 }],
    build: ({ g, f32, i64 }) => {
      const which = i64('ids', [4, 0, 3])
      return {
        rows: g.add(f32('own', ['n', 2]), g.scatterAdd(which, f32('x', [3, 2]), { rows: 'n', distinct: true })),
        scalars: g.scatterAdd(which, f32('line', [3]), { rows: 5, distinct: true }),
      }
    },
  },
  {
    name: 'takeLast of matrices and stacks',
    runs: [{ n: 3 }],
    build: ({ g, f32, ids }) => ({
      matrix: g.takeLast(f32('x', ['n', 5]), ids('i', ['n'], 5)),
      stack: g.takeLast(f32('y', [2, 'n', 4]), ids('j', [2, 'n'], 4)),
    }),
  },
  {
    name: 'oneHot',
    runs: [{ n: 4 }],
    build: ({ g, ids, i64 }) => ({
      y: g.oneHot(ids('ids', ['n'], 6), { depth: 6 }),
      known: g.oneHot(i64('fixed', [2, 0]), { depth: 3 }),
    }),
    expected: { known: [0, 0, 1, 1, 0, 0] },
  },
  {
    name: 'dropoutMask bit for bit, with symbolic and two trailing axes',
    runs: [
      { b: 2, s: 3 },
      { b: 1, s: 40 },
    ],
    build: ({ g, bits }) => {
      const keys = bits('keys', ['b', 's'])
      const mask = (site: number, rate: number, trailing: readonly (number | string)[]) =>
        g.equal(g.dropoutMask(keys, { site, rate, trailing }), 0)
      return { half: mask(5, 0.5, [16]), few: mask(0xdeadbeef, 0.1, [16]), wide: mask(1, 0.9, [2, 's']) }
    },
  },
  {
    name: 'dropoutMask bit for bit, with axes before its keys, over keys that are fed and that are made',
    runs: [
      { b: 2, s: 3 },
      { b: 1, s: 20 },
    ],
    build: ({ g, f32, bits }) => {
      const keys = bits('keys', ['b', 's'])
      const made = g.barrier(keys, f32('after', [2]))
      const mask = (of: Node, before: readonly number[], trailing: readonly (number | string)[], site: number) =>
        g.equal(g.dropoutMask(of, { site, rate: 0.3, before, trailing }), 0)
      return {
        fed: mask(keys, [3], ['s'], 7),
        made: mask(made, [3], ['s'], 7),
        nothingAfter: mask(keys, [2, 3], [], 8),
        nothingAfterMade: mask(made, [2, 3], [], 8),
        alone: mask(keys, [], [], 9),
        none: mask(keys, [], [0], 9),
        nearlyAll: g.equal(g.dropoutMask(keys, { site: 1, rate: 1 - 2 ** -33, trailing: [4] }), 0),
        nearlyAllMade: g.equal(g.dropoutMask(made, { site: 1, rate: 1 - 2 ** -33, trailing: [4] }), 0),
      }
    },
  },
  {
    name: 'dropoutMask known by hand',
    // From a Python transcription of the formula, so that an engine and the oracle cannot be wrong together.
    build: ({ g, i64 }) => {
      const keys = g.cast(i64('keys', [1, 4_000_000_000]), { to: 'u32' })
      return { y: g.dropoutMask(keys, { site: 9, rate: 0.5, trailing: [6] }) }
    },
    expected: { y: [2, 0, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0] },
  },
]
