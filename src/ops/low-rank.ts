/** @file The low-rank update of LoRA (arXiv 2106.09685). */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { at, type CompositeDefinition, typeError } from './definition.ts'

export const lowRank: CompositeDefinition<'lowRank'> = {
  inputs: ['x', 'a', 'b', 'scale'],
  optional: {},
  type(inputs) {
    const [x, a, b] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    if (x.shape.at(-1) !== a.shape[1] || a.shape[0] !== b.shape[1])
      throw typeError('lowRank', 'x […, in], A [r, in], B [out, r]', inputs)
    return { dtype: 'f32', shape: [...x.shape.slice(0, -1), b.shape[0] ?? 1] }
  },
  expand: (g, { x, a, b, scale }) => scaledProduct(g, g.matmul(x, a, { transB: true }), b, scale),
}

/**
 * `scale · h·Bᵀ`. A scale known beforehand goes into the product; any other meets the r numbers of h: the shortest place.
 * @param h `f32[…, r]`
 */
export function scaledProduct(g: Builder, h: Node, b: Node, scale: Node): Node {
  const known = scale.op === 'constant' && scale.type.shape.length === 0 ? scale.params.values[0] : undefined
  if (known !== undefined) return g.matmul(h, b, { transB: true, alpha: known })
  return g.matmul(g.mul(h, scale), b, { transB: true })
}
