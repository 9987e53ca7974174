/**
 * @file Optimizer steps as graph ops over flat vectors, with torch's formulas. One entry an optimizer.
 * Must not know models or how batches are made.
 */
import type { Builder, Operand } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'

export const OPTIMIZERS = ['adamw', 'bertadam', 'sgd', 'lorafa'] as const
export type OptimizerName = (typeof OPTIMIZERS)[number]

/** One group's step. */
export interface UpdateInputs {
  readonly g: Builder
  readonly parameters: Node
  readonly gradient: Node
  /** Moments by the names the optimizer declares. */
  readonly moments: Readonly<Record<string, Node>>
  /** Learning rate of this step and group, an f32 scalar. */
  readonly rate: Node
  readonly weightDecay: Operand
  /** Scalars of `scalars()` by name. */
  readonly scalars: Readonly<Record<string, Node>>
}

export interface Optimizer {
  /** Names of the vectors it keeps a group, all starting at zero. */
  readonly moments: readonly string[]
  /** Scalars that depend on the step alone, computed in f64 on the host. `step` counts from 1. */
  scalars(step: number): Readonly<Record<string, number>>
  update(io: UpdateInputs): { parameters: Node; moments: Readonly<Record<string, Node>> }
}

const BETA1 = 0.9
const BETA2 = 0.999
const EPSILON = 1e-8

/** torch.optim.AdamW (Loshchilov & Hutter, arXiv 1711.05101): decoupled decay, bias correction, β 0.9/0.999, ε 1e-8. */
const adamw: Optimizer = {
  moments: ['m', 'v'],
  scalars: (step) => ({ correction1: 1 - BETA1 ** step, rootCorrection2: Math.sqrt(1 - BETA2 ** step) }),
  update({ g, parameters, gradient, moments, rate, weightDecay, scalars }) {
    const { m: oldM = gradient, v: oldV = gradient } = moments
    const { correction1 = rate, rootCorrection2 = rate } = scalars
    const decayed = weightDecay === 0 ? parameters : g.mul(parameters, g.sub(1, g.mul(rate, weightDecay)))
    const m = g.add(oldM, g.mul(g.sub(gradient, oldM), 1 - BETA1))
    const v = g.add(g.mul(oldV, BETA2), g.mul(g.mul(gradient, gradient), 1 - BETA2))
    // √(v / c₂) + ε under a fraction of scalars: one pass over the vector less.
    const denominator = g.add(g.sqrt(v), g.mul(rootCorrection2, EPSILON))
    const size = g.div(g.mul(rate, rootCorrection2), correction1)
    const moved = g.sub(decayed, g.mul(g.div(m, denominator), size))
    return { parameters: moved, moments: { m, v } }
  },
}

/**
 * BERTAdam: Adam whose moments are not corrected for their start at zero, so that its first steps are up to 6.6 times as
 * large as theirs would be. As transformers' AdamW with `correct_bias=False` and ε 1e-8, which is what the code of arXiv
 * 2006.05987 runs for `--use_bertadam`; decay comes after the step. BERT's own (google-research/bert, optimization.py) has
 * ε 1e-6.
 */
const bertadam: Optimizer = {
  moments: adamw.moments,
  scalars: () => ({}),
  update({ g, parameters, gradient, moments, rate, weightDecay }) {
    const { m: oldM = gradient, v: oldV = gradient } = moments
    const m = g.add(g.mul(oldM, BETA1), g.mul(gradient, 1 - BETA1))
    const v = g.add(g.mul(oldV, BETA2), g.mul(g.mul(gradient, gradient), 1 - BETA2))
    const moved = g.sub(parameters, g.mul(rate, g.div(m, g.add(g.sqrt(v), EPSILON))))
    return { parameters: g.mul(moved, g.sub(1, g.mul(rate, weightDecay))), moments: { m, v } }
  },
}

/** torch.optim.SGD without momentum; decay is added to the gradient. */
const sgd: Optimizer = {
  moments: [],
  scalars: () => ({}),
  update({ g, parameters, gradient, rate, weightDecay }) {
    const whole = g.add(gradient, g.mul(parameters, weightDecay))
    return { parameters: g.sub(parameters, g.mul(whole, rate)), moments: {} }
  },
}

/**
 * The AdamW of PEFT's LoraFAOptimizer: ε 1e-6 beside the root of v before its correction, decay after the step. Which
 * gradients it is given is train/lora-fa.ts's matter.
 */
const lorafa: Optimizer = {
  moments: adamw.moments,
  scalars: adamw.scalars,
  update({ g, parameters, gradient, moments, rate, weightDecay, scalars }) {
    const { m: oldM = gradient, v: oldV = gradient } = moments
    const { correction1 = rate, rootCorrection2 = rate } = scalars
    const m = g.add(g.mul(oldM, BETA1), g.mul(gradient, 1 - BETA1))
    const v = g.add(g.mul(oldV, BETA2), g.mul(g.mul(gradient, gradient), 1 - BETA2))
    const size = g.mul(rate, g.div(rootCorrection2, correction1))
    const moved = g.sub(parameters, g.mul(g.div(m, g.add(g.sqrt(v), 1e-6)), size))
    return { parameters: g.mul(moved, g.sub(1, g.mul(rate, weightDecay))), moments: { m, v } }
  },
}

export const optimizers: { readonly [K in OptimizerName]: Optimizer } = { adamw, bertadam, sgd, lorafa }
