/** @file Arithmetic and logic element by element: f32 maths, comparisons to bool, NumPy broadcasting. */
import type { TensorType } from '../graph/types.ts'
import type { CoreName } from '../graph/vocabulary.ts'
import { broadcastShapes } from '../tensor/dim.ts'
import { unbroadcast } from './broadcasting.ts'
import { at, type CoreDefinition, likeFirst, typeError, type Vjp } from './definition.ts'

type UnaryName = 'neg' | 'exp' | 'log' | 'sqrt' | 'reciprocal' | 'tanh' | 'sigmoid' | 'erf' | 'sin' | 'cos'
type ArithmeticName = 'add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum'

const unary = <K extends UnaryName>(x: Vjp<K>): CoreDefinition<UnaryName> =>
  ({ inputs: ['x'], optional: {}, type: likeFirst, vjp: { x } }) as CoreDefinition<UnaryName>

export const neg = unary<'neg'>((g, _, dy) => g.neg(dy))
export const exp = unary<'exp'>((g, _, dy, __, y) => g.mul(dy, y))
export const log = unary<'log'>((g, { x }, dy) => g.div(dy, x))
export const sqrt = unary<'sqrt'>((g, _, dy, __, y) => g.div(g.mul(dy, 0.5), y))
export const reciprocal = unary<'reciprocal'>((g, _, dy, __, y) => g.neg(g.mul(dy, g.mul(y, y))))
export const tanh = unary<'tanh'>((g, _, dy, __, y) => g.mul(dy, g.sub(1, g.mul(y, y))))
export const sigmoid = unary<'sigmoid'>((g, _, dy, __, y) => g.mul(dy, g.mul(y, g.sub(1, y))))
export const erf = unary<'erf'>((g, { x }, dy) => g.mul(dy, g.mul(g.exp(g.neg(g.mul(x, x))), 2 / Math.sqrt(Math.PI))))
export const sin = unary<'sin'>((g, { x }, dy) => g.mul(dy, g.cos(x)))
export const cos = unary<'cos'>((g, { x }, dy) => g.neg(g.mul(dy, g.sin(x))))

/** Both types broadcast together; the output has `dtype`, or the inputs' own. */
function broadcast(op: CoreName, inputs: readonly TensorType[], dtype?: TensorType['dtype']): TensorType {
  const [a, b] = [at(inputs, 0), at(inputs, 1)]
  const shape = broadcastShapes(a.shape, b.shape)
  if (!shape || a.dtype !== b.dtype) throw typeError(op, 'two inputs of one dtype that broadcast', inputs)
  return { dtype: dtype ?? a.dtype, shape }
}

const arithmetic = <K extends ArithmeticName>(op: K, vjp: { a: Vjp<K>; b: Vjp<K> }): CoreDefinition<ArithmeticName> =>
  ({
    inputs: ['a', 'b'],
    optional: {},
    type: (inputs) => broadcast(op, inputs),
    vjp: {
      a: (g, io, dy, params, y) => unbroadcast(g, (vjp.a as Vjp<ArithmeticName>)(g, io, dy, params, y), io.a.type),
      b: (g, io, dy, params, y) => unbroadcast(g, (vjp.b as Vjp<ArithmeticName>)(g, io, dy, params, y), io.b.type),
    },
  }) as CoreDefinition<ArithmeticName>

export const add = arithmetic('add', { a: (_, __, dy) => dy, b: (_, __, dy) => dy })
export const sub = arithmetic('sub', { a: (_, __, dy) => dy, b: (g, _, dy) => g.neg(dy) })
export const mul = arithmetic('mul', { a: (g, { b }, dy) => g.mul(dy, b), b: (g, { a }, dy) => g.mul(dy, a) })
export const div = arithmetic('div', {
  a: (g, { b }, dy) => g.div(dy, b),
  b: (g, { b }, dy, _, y) => g.neg(g.div(g.mul(dy, y), b)),
})
// Where both sides are equal, the first gets the whole cotangent.
export const maximum = arithmetic('maximum', {
  a: (g, { a, b }, dy) => g.select(g.less(a, b), 0, dy),
  b: (g, { a, b }, dy) => g.select(g.less(a, b), dy, 0),
})
export const minimum = arithmetic('minimum', {
  a: (g, { a, b }, dy) => g.select(g.less(b, a), 0, dy),
  b: (g, { a, b }, dy) => g.select(g.less(b, a), dy, 0),
})

type PredicateName = 'equal' | 'less' | 'lessEqual' | 'and'
const predicate = (op: PredicateName): CoreDefinition<PredicateName> => ({
  inputs: ['a', 'b'],
  optional: {},
  type: (inputs) => broadcast(op, inputs, 'bool'),
  vjp: { a: null, b: null },
})
export const equal = predicate('equal')
export const less = predicate('less')
export const lessEqual = predicate('lessEqual')
export const and = predicate('and')
export const not: CoreDefinition<'not'> = { inputs: ['x'], optional: {}, type: likeFirst, vjp: { x: null } }

export const select: CoreDefinition<'select'> = {
  inputs: ['condition', 'whenTrue', 'whenFalse'],
  optional: {},
  type(inputs) {
    const condition = at(inputs, 0)
    const values = broadcast('select', inputs.slice(1))
    const shape = broadcastShapes(condition.shape, values.shape)
    if (!shape || condition.dtype !== 'bool') throw typeError('select', 'a bool condition that broadcasts', inputs)
    return { dtype: values.dtype, shape }
  },
  vjp: {
    condition: null,
    whenTrue: (g, { condition, whenTrue }, dy) => unbroadcast(g, g.select(condition, dy, 0), whenTrue.type),
    whenFalse: (g, { condition, whenFalse }, dy) => unbroadcast(g, g.select(condition, 0, dy), whenFalse.type),
  },
}

export const cast: CoreDefinition<'cast'> = {
  inputs: ['x'],
  optional: {},
  type: (inputs, { to }) => ({ dtype: to, shape: at(inputs, 0).shape }),
  vjp: { x: (g, { x }, dy) => g.cast(dy, { to: x.type.dtype }) },
}
