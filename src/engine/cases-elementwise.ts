/** @file Conformance cases of ops that work element by element. */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { RandomStream } from '../support/random.ts'
import type { EngineCase } from './case.ts'

type UnaryName = 'neg' | 'exp' | 'log' | 'sqrt' | 'reciprocal' | 'tanh' | 'sigmoid' | 'erf' | 'sin' | 'cos'
type BinaryName = 'add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum'

const positive = (random: RandomStream): number => 0.2 + 3 * random.uniform()
const signed = (random: RandomStream): number => (random.uniform() < 0.5 ? -1 : 1) * positive(random)

const unary = (op: UnaryName, draw?: (random: RandomStream) => number): EngineCase => ({
  name: `${op} of a matrix with symbolic rows`,
  runs: [{ n: 3 }, { n: 5 }],
  build: ({ g, f32 }) => ({ y: g[op](f32('x', ['n', 4], draw)) }),
})

const SHAPES = [
  ['alike', ['b', 's', 3], ['b', 's', 3]],
  ['a row over a stack', ['b', 's', 3], [3]],
  ['a scalar', [], ['b', 3]],
  ['both ways', ['b', 1, 3], ['s', 1]],
] as const

const binary = (op: BinaryName): EngineCase[] =>
  SHAPES.map(([how, a, b]) => ({
    name: `${op} broadcasting ${how}`,
    runs: [
      { b: 2, s: 3 },
      { b: 1, s: 4 },
    ],
    build: ({ g, f32 }) => ({ y: g[op](f32('a', a, signed), f32('b', b, signed)) }),
  }))

type Predicate = 'equal' | 'less' | 'lessEqual'
const compare = (op: Predicate): EngineCase => ({
  name: `${op} of i64 rows and columns, and of floats`,
  runs: [{ n: 4 }],
  build: ({ g, ids, f32 }) => {
    const x = ids('x', ['n', 3], 4)
    const y = ids('y', [3], 4)
    return { ints: g[op](x, y), floats: g[op](g.cast(x, { to: 'f32' }), 2), own: g[op](f32('z', ['n']), 0) }
  },
})

/** Everything at once that a causal, segmented mask needs. */
function mask(g: Builder, positions: Node, segments: Node): Node {
  const along = (x: Node, shape: readonly (string | number)[]): Node => g.reshape(x, { shape })
  const causal = g.lessEqual(along(positions, ['b', 1, 's']), along(positions, ['b', 's', 1]))
  const same = g.equal(along(segments, ['b', 1, 's']), along(segments, ['b', 's', 1]))
  return g.and(causal, same)
}

export const elementwiseCases: readonly EngineCase[] = [
  ...(['neg', 'exp', 'tanh', 'sigmoid', 'erf', 'sin', 'cos'] as const).map((op) => unary(op)),
  ...[unary('log', positive), unary('sqrt', positive), unary('reciprocal', signed)],
  ...(['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const).flatMap(binary),
  ...(['equal', 'less', 'lessEqual'] as const).map(compare),
  {
    name: 'sigmoid, tanh and erf far out',
    build: ({ g, f32 }) => {
      const x = f32('x', [6], (random) => 40 * (random.uniform() - 0.5))
      return { sigmoid: g.sigmoid(x), tanh: g.tanh(x), erf: g.erf(x) }
    },
  },
  {
    name: 'i64 arithmetic',
    build: ({ g, i64 }) => {
      const [x, y] = [i64('x', [1, -2, 30_000_000_000, 7]), i64('y', [5, 3, 2, 7])]
      return { sum: g.add(x, y), difference: g.sub(x, y), product: g.mul(x, y) }
    },
  },
  {
    name: 'and, not over a segmented causal mask',
    runs: [{ b: 2, s: 4 }],
    build: ({ g, ids }) => {
      const m = mask(g, ids('positions', ['b', 's'], 4), ids('segments', ['b', 's'], 2))
      return { m, none: g.not(m) }
    },
  },
  {
    name: 'select with −1e30, under softmax',
    runs: [{ b: 2, s: 4 }],
    build: ({ g, ids, f32 }) => {
      const m = mask(g, ids('positions', ['b', 's'], 4), ids('segments', ['b', 's'], 2))
      const bias = g.select(m, 0, -1e30)
      return { y: g.softmax(g.add(f32('x', ['b', 's', 's']), bias)) }
    },
  },
  {
    name: 'select between two tensors by a broadcast condition',
    runs: [{ n: 3 }],
    build: ({ g, ids, f32 }) => {
      const condition = g.equal(ids('which', ['n', 1], 2), g.constant({ dtype: 'i64', shape: [], values: [1] }))
      return { y: g.select(condition, f32('a', ['n', 4]), f32('b', [4])) }
    },
  },
  {
    name: 'cast of bool and i64 to f32, i64 to u32 and back',
    build: ({ g, i64 }) => {
      const x = i64('x', [0, 1, 2, 4_294_967_295])
      const flags = g.less(x, g.constant({ dtype: 'i64', shape: [], values: [2] }))
      return {
        floats: g.cast(x, { to: 'f32' }),
        flags: g.cast(flags, { to: 'f32' }),
        bits: g.cast(g.cast(x, { to: 'u32' }), { to: 'i64' }),
      }
    },
    expected: { flags: [1, 1, 0, 0], bits: [0, 1, 2, 4_294_967_295] },
  },
  {
    name: 'cast of f32 to itself',
    build: ({ g, f32 }) => ({ y: g.mul(g.cast(f32('y', [3]), { to: 'f32' }), 2) }),
  },
]
