/** @file The low-rank update of LoRA (arXiv 2106.09685). */
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
  // The scale meets the r numbers between the factors: the shortest place for it.
  expand: (g, { x, a, b, scale }) => g.matmul(g.mul(g.matmul(x, a, { transB: true }), scale), b, { transB: true }),
}
