/**
 * @file Mixout (Lee, Cho & Kang, arXiv 1909.11299): in training every linear layer's weight is mixed with its first value
 * at random, w̃ = (m⊙w + (1−m)⊙w₀ − p·w₀)/(1−p) with m ~ Bernoulli(1−p), so that its mean is w. Evaluation uses w.
 * Must not know options, files or where first values come from.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { ModuleInfo } from '../models/modules.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import { hashName } from '../support/random.ts'
import { priorOf } from './prior.ts'

export interface Mixout {
  /** p, from 0 up to but not 1. */
  readonly rate: number
  /**
   * `element`: a mask for each number, and the exact gradient m/(1−p). `column`: as the code of arXiv 2006.05987 has it
   * (mixout.py), one mask a column of the input, repeated over the output's rows, and the gradient m without 1/(1−p).
   */
  readonly mask: 'element' | 'column'
  /** The weights that are mixed, by the names that layers read them under, with the axis of the layer's input. */
  readonly inputAxes: ReadonlyMap<string, 0 | 1>
}

/** Mixout of every linear layer, heads included. */
export function mixoutOf(modules: readonly ModuleInfo[], options: Pick<Mixout, 'rate' | 'mask'>): Mixout {
  const axes = modules.flatMap(({ path, kind }): [string, 0 | 1][] => {
    if (kind !== 'linear' && kind !== 'conv1d') return []
    return [[`${path}.weight`, kind === 'linear' ? 1 : 0]]
  })
  return { ...options, inputAxes: new Map(axes) }
}

/**
 * What a layer reads in place of its weight `w`: w₀ + f⊙(w − w₀), which is w̃ with f = m/(1−p) a dropout mask. Masks follow
 * from the step's key and the layer's name, so that all batches of a step have the same.
 * @param name the weight's, as the layer reads it: a tied head has a mask of its own
 */
export function mixed(
  g: Builder,
  { rate, mask, inputAxes }: Mixout,
  name: string,
  tensor: AdapterTensor,
  w: Node,
): Node {
  const axis = inputAxes.get(name)
  if (axis === undefined || rate === 0) return w
  const { shape } = tensor
  const key = g.feed('stepKey', { dtype: 'u32', shape: [1] })
  const drawn = mask === 'element' ? shape : [shape[axis] ?? 1]
  const factors = g.dropoutMask(key, { site: hashName(`${name}.mixout`), rate, trailing: drawn })
  const across = shape.map((extent, i) => (i === axis ? extent : 1))
  const f = g.reshape(factors, { shape: mask === 'element' ? shape : across })
  const first = priorOf(g, tensor)
  // Of the column mask, (1−p) of w carries the gradient.
  const from = mask === 'element' ? w : g.add(g.mul(w, 1 - rate), g.mul(g.detach(w), rate))
  return g.add(first, g.mul(g.sub(from, first), f))
}
