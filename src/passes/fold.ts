/**
 * @file Folding: arithmetic on scalar constants is done now, and ops that change nothing disappear. Only for graphs that
 * are not differentiated any more, since `detach` disappears too. Must not know engines.
 */
import type { Graph, Node } from '../graph/types.ts'
import type { OpName } from '../graph/vocabulary.ts'
import { broadcastShapes, type Dim, sameShape } from '../tensor/dim.ts'
import { type Rule, rebuild, rewrite } from './rewrite.ts'

export function fold(graph: Graph): Graph {
  return rewrite(graph, (g, node, given) => {
    const inputs = narrowOperands(node, given)
    for (const rule of [scalarArithmetic, neutralOperand, changesNothing, chain, joinedPads]) {
      const found = rule(g, node, inputs)
      if (found) return found
    }
    return rebuild(g, node, inputs)
  })
}

const UNARY: { readonly [K in OpName]?: (x: number) => number } = {
  neg: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
}
const BINARY: { readonly [K in OpName]?: (x: number, y: number) => number } = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  maximum: Math.max,
  minimum: Math.min,
}

/** The value of an f32 scalar constant. */
function constantOf(node: Node | undefined): number | undefined {
  const scalar = node?.op === 'constant' && node.type.dtype === 'f32' && node.type.shape.length === 0
  return scalar ? node.params.values[0] : undefined
}

const scalarArithmetic: Rule = (g, node, [a, b]) => {
  const [x, y] = [constantOf(a), constantOf(b)]
  if (x === undefined) return undefined
  const [one, two] = [UNARY[node.op], BINARY[node.op]]
  if (one) return g.scalar(one(x))
  return two && y !== undefined ? g.scalar(two(x, y)) : undefined
}

/** Which constant on which side leaves the other operand as it is. */
const NEUTRAL: { readonly [K in OpName]?: { left?: number; right?: number } } = {
  add: { left: 0, right: 0 },
  sub: { right: 0 },
  mul: { left: 1, right: 1 },
  div: { right: 1 },
}

/** `x·1`, `x+0` and the like; the other operand must already have the output's shape. */
const neutralOperand: Rule = (_, node, [a, b]) => {
  const neutral = NEUTRAL[node.op]
  if (!neutral || !a || !b) return undefined
  if (isNeutral(b, neutral.right) && sameShape(a.type.shape, node.type.shape)) return a
  if (isNeutral(a, neutral.left) && sameShape(b.type.shape, node.type.shape)) return b
  return undefined
}

function isNeutral(node: Node, value: number | undefined): boolean {
  return value !== undefined && constantOf(node) === value
}

const changesNothing: Rule = (_, node, [x]) => {
  if (!x) return undefined
  switch (node.op) {
    case 'detach':
      return x
    case 'cast':
      return node.params.to === x.type.dtype ? x : undefined
    case 'reshape':
    case 'expand':
      return sameShape(x.type.shape, node.params.shape) ? x : undefined
    case 'transpose':
      return node.params.perm.every((axis, i) => axis === i) ? x : undefined
    case 'sum':
    case 'reduceMax':
      return node.params.axes.length === 0 ? x : undefined
    case 'slice':
      return sameShape(x.type.shape, node.type.shape) ? x : undefined
    case 'pad':
      return node.params.before === 0 && node.params.after === 0 ? x : undefined
    case 'concat':
      return node.inputs.length === 1 ? x : undefined
    default:
      return undefined
  }
}

/** Two ops in a row that are one, or none. */
const chain: Rule = (g, node, [x]) => {
  const [inner] = x?.inputs ?? []
  if (!x || !inner) return undefined
  if (node.op === 'neg' && x.op === 'neg') return inner
  if (node.op === 'reshape' && x.op === 'reshape')
    return sameShape(inner.type.shape, node.params.shape) ? inner : g.reshape(inner, node.params)
  if (node.op === 'expand' && (x.op === 'expand' || isScalar(inner, x))) return g.expand(inner, node.params)
  if (node.op === 'reshape' && x.op === 'expand' && isScalar(inner, x)) return g.expand(inner, node.params)
  if (node.op === 'slice' && x.op === 'slice' && node.params.axis === x.params.axis)
    return g.slice(inner, { ...node.params, start: x.params.start + node.params.start })
  if (node.op === 'transpose' && x.op === 'transpose') {
    const before = x.params.perm
    const perm = node.params.perm.map((axis) => before[axis] ?? 0)
    return perm.every((axis, i) => axis === i) ? inner : g.transpose(inner, { perm })
  }
  return undefined
}

/** Cotangents of neighbouring slices: each padded to the whole and added up, they are one concatenation. */
const joinedPads: Rule = (g, node, [x, y]) => {
  if (node.op !== 'add' || x?.op !== 'pad' || y?.op !== 'pad' || x.params.axis !== y.params.axis) return undefined
  const { axis } = x.params
  if (!sameShape(x.type.shape, y.type.shape)) return undefined
  const [first, second] = x.params.before <= y.params.before ? [x, y] : [y, x]
  const [a, b] = [first.inputs[0], second.inputs[0]]
  if (!a || !b || second.params.before - first.params.before !== a.type.shape[axis]) return undefined
  const pieces = [a, b].flatMap((piece) =>
    piece.op === 'concat' && piece.params.axis === axis ? piece.inputs : [piece],
  )
  const joined = g.concat(pieces, { axis })
  const [before, after] = [first.params.before, second.params.after]
  return before === 0 && after === 0 ? joined : g.pad(joined, { axis, before, after })
}

/** Whether `x` is a scalar under another shape. */
function isScalar(inner: Node, x: Node): boolean {
  return inner.type.shape.length === 0 && (x.op === 'reshape' || x.op === 'expand')
}

const BROADCASTS: ReadonlySet<OpName> = new Set([
  ...(['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const),
  ...(['equal', 'less', 'lessEqual', 'and', 'select'] as const),
])

/** An `expand`, or a scalar's `reshape`, is not needed where the op broadcasts by itself to the same shape. */
function narrowOperands(node: Node, inputs: readonly Node[]): readonly Node[] {
  if (!BROADCASTS.has(node.op)) return inputs
  let out = inputs
  inputs.forEach((input, i) => {
    const [inner] = input.inputs
    if (!inner || (input.op !== 'expand' && !isScalar(inner, input))) return
    const tried = out.map((other, j) => (j === i ? inner : other))
    const shape = tried.reduce<Dim[] | undefined>((s, n) => s && broadcastShapes(s, n.type.shape), [])
    if (shape && sameShape(shape, node.type.shape)) out = tried
  })
  return out
}
