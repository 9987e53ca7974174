/**
 * @file Turning queries and keys by their positions (RoFormer, arXiv 2104.09864), with frequencies that may follow from
 * the length of the sample. Must not know layers or weights.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { Rope } from './rope.ts'

/** What a net knows of places and lengths (see `NetInputs`). */
export interface PlaceInputs {
  readonly positions: Node
  readonly segments: Node
  readonly keyPositions: Node
  readonly keySegments: Node
  readonly lengths?: Node | undefined
}

/** The first channels of each head turned, the others as they are (GPT-NeoX, section 2.1). */
export function turn(g: Builder, x: Node, cos: Node, sin: Node): Node {
  const width = Number(x.type.shape.at(-1))
  const turned = 2 * Number(cos.type.shape.at(-1))
  if (turned === width) return g.rotary(x, cos, sin)
  const part = g.rotary(g.slice(x, { axis: 3, start: 0, size: turned }), cos, sin)
  return g.concat([part, g.slice(x, { axis: 3, start: turned, size: width - turned })], { axis: 3 })
}

/**
 * 1 for tokens of samples longer than `original`, else 0: `f32[batch, seq, 1]`. LongRoPE's factors follow from the length
 * of the sample a token belongs to, so that neither its batch nor its neighbours in a packed row change what it gives.
 */
function beyond(g: Builder, inputs: PlaceInputs, original: number): Node {
  const [b = 1, s = 1] = inputs.segments.type.shape
  const t = inputs.keySegments.type.shape[1] ?? 1
  const limit = g.constant({ dtype: 'i64', shape: [], values: [original] })
  if (inputs.lengths) return g.reshape(g.cast(g.less(limit, inputs.lengths), { to: 'f32' }), { shape: [b, 1, 1] })
  const same = g.equal(
    g.reshape(inputs.segments, { shape: [b, s, 1] }),
    g.reshape(inputs.keySegments, { shape: [b, 1, t] }),
  )
  const far = g.reshape(g.lessEqual(limit, inputs.keyPositions), { shape: [b, 1, t] })
  const found = g.sum(g.cast(g.and(same, far), { to: 'f32' }), { axes: [2], keepDims: true })
  return g.cast(g.less(0, found), { to: 'f32' })
}

/** cos and sin of position · frequency, `f32[batch, seq, headDim/2]`. */
export function angles(g: Builder, inputs: PlaceInputs, rope: Rope): { cos: Node; sin: Node } {
  const { positions } = inputs
  const [b = 1, s = 1] = positions.type.shape
  const constant = (values: readonly number[]): Node => g.constant({ dtype: 'f32', shape: [values.length], values })
  const short = constant(rope.inverseFrequencies)
  const { long } = rope
  const frequencies = long
    ? g.add(short, g.mul(beyond(g, inputs, long.from), g.sub(constant(long.inverseFrequencies), short)))
    : short
  const angle = g.mul(g.reshape(g.cast(positions, { to: 'f32' }), { shape: [b, s, 1] }), frequencies)
  return { cos: g.mul(g.cos(angle), rope.attentionFactor), sin: g.mul(g.sin(angle), rope.attentionFactor) }
}
