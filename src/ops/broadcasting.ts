/** @file Undoing broadcasts in derivatives, in the one place that knows how. */

import type { Builder } from '../graph/builder.ts'
import type { Node, TensorType } from '../graph/types.ts'
import { invariant } from '../support/errors.ts'
import { sameShape } from '../tensor/dim.ts'

/** Sums `dy` over the axes along which a value of `type` was broadcast. */
export function unbroadcast(g: Builder, dy: Node, type: TensorType): Node {
  if (sameShape(dy.type.shape, type.shape)) return dy
  const extra = dy.type.shape.length - type.shape.length
  invariant(extra >= 0, 'a cotangent has fewer axes than its value')
  const axes = dy.type.shape.flatMap((d, axis) => {
    const own = axis < extra ? undefined : type.shape[axis - extra]
    return own === undefined || (own === 1 && d !== 1) ? [axis] : []
  })
  const summed = g.sum(dy, { axes, keepDims: true })
  return sameShape(summed.type.shape, type.shape) ? summed : g.reshape(summed, { shape: type.shape })
}
