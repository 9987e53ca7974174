/** @file Reductions over axes and matrix products. */
import type { Builder } from '../graph/builder.ts'
import type { Node, TensorType } from '../graph/types.ts'
import { broadcastShapes, sizeOfShape } from '../tensor/dim.ts'
import { unbroadcast } from './broadcasting.ts'
import { at, type CoreDefinition, typeError } from './definition.ts'

function reduced(inputs: readonly TensorType[], axes: readonly number[], keepDims: boolean): TensorType {
  const x = at(inputs, 0)
  if (axes.some((axis) => axis < 0 || axis >= x.shape.length))
    throw typeError('reduction', `axes ${axes} in range`, inputs)
  const shape = x.shape.flatMap((d, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [d]))
  return { dtype: x.dtype, shape }
}

/** The reduced value with its axes kept as 1, so that it broadcasts against the input. */
function keptDims(g: Builder, reducedNode: Node, x: Node, axes: readonly number[]): Node {
  const shape = x.type.shape.map((d, axis) => (axes.includes(axis) ? 1 : d))
  return g.reshape(reducedNode, { shape })
}

export const sum: CoreDefinition<'sum'> = {
  inputs: ['x'],
  optional: { keepDims: false },
  type: (inputs, { axes, keepDims }) => reduced(inputs, axes, keepDims),
  vjp: { x: (g, { x }, dy, { axes }) => g.expand(keptDims(g, dy, x, axes), { shape: x.type.shape }) },
}

export const reduceMax: CoreDefinition<'reduceMax'> = {
  inputs: ['x'],
  optional: { keepDims: false },
  type: (inputs, { axes, keepDims }) => reduced(inputs, axes, keepDims),
  // Ties share the cotangent evenly, so that the sum of the parts is right.
  vjp: {
    x(g, { x }, dy, { axes }, y) {
      const winners = g.cast(g.equal(x, keptDims(g, y, x, axes)), { to: 'f32' })
      const share = g.div(keptDims(g, dy, x, axes), g.sum(winners, { axes, keepDims: true }))
      return g.mul(winners, share)
    },
  },
}

export const matmul: CoreDefinition<'matmul'> = {
  inputs: ['a', 'b'],
  optional: { transA: false, transB: false, alpha: 1 },
  type(inputs, { transA, transB }) {
    const [a, b] = [at(inputs, 0), at(inputs, 1)]
    const [m, k] = lastTwo(a, transA)
    const [k2, n] = lastTwo(b, transB)
    const lead = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2))
    if (
      m === undefined ||
      n === undefined ||
      k === undefined ||
      k !== k2 ||
      !lead ||
      a.dtype !== 'f32' ||
      b.dtype !== 'f32'
    ) {
      throw typeError(`matmul(transA ${transA}, transB ${transB})`, 'f32 matrices that fit', inputs)
    }
    return { dtype: 'f32', shape: [...lead, m, n] }
  },
  vjp: {
    a: (g, { a, b }, dy, { transA, transB, alpha }) =>
      unbroadcast(
        g,
        transA ? g.matmul(b, dy, { transA: transB, transB: true, alpha }) : g.matmul(dy, b, { transB: !transB, alpha }),
        a.type,
      ),
    b(g, { a, b }, dy, { transA, transB, alpha }) {
      // One matrix against a stack: flatten the stack instead of summing a product for each of its members.
      const flat = b.type.shape.length === 2 && a.type.shape.length > 2 && !transA
      const [x, d] = flat ? [flatten(g, a), flatten(g, dy)] : [a, dy]
      return unbroadcast(
        g,
        transB ? g.matmul(d, x, { transA: true, transB: transA, alpha }) : g.matmul(x, d, { transA: !transA, alpha }),
        b.type,
      )
    },
  },
}

function lastTwo(
  type: TensorType,
  transposed: boolean,
): [TensorType['shape'][number] | undefined, TensorType['shape'][number] | undefined] {
  const [rows, columns] = [type.shape.at(-2), type.shape.at(-1)]
  return transposed ? [columns, rows] : [rows, columns]
}

/** `[…, n] → [product of …, n]`. */
function flatten(g: Builder, x: Node): Node {
  return g.reshape(x, { shape: [sizeOfShape(x.type.shape.slice(0, -1)), x.type.shape.at(-1) ?? 1] })
}
