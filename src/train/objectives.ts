/**
 * @file What training minimises, by task: which states predict, and the loss of each. A loss is of one label (one row of a
 * classifier), and the step divides their sum by the labels of the whole step.
 * Must not know adapters, optimizers or where batches come from.
 */
import type { LabelsAt } from '../data/example.ts'
import type { HeadSpec, Task } from '../formats/task.ts'
import type { Node } from '../graph/types.ts'
import type { Model } from '../models/model.ts'
import type { Net } from '../models/net.ts'
import { LowrankError } from '../support/errors.ts'

export interface Objective {
  readonly labelsAt: LabelsAt
  /** What a batch feeds to compare with. */
  readonly target: 'labels' | 'targets'
  /** Whether evaluation looks at the logits: they are few, and metrics come from them. */
  readonly measures: boolean
  /** States that predict, `f32[labelled, hidden]`, and what they should → `f32[labelled]`. */
  losses(model: Model, net: Net, rows: Node, target: Node): Node
}

const crossEntropy: Omit<Objective, 'labelsAt' | 'measures'> = {
  target: 'labels',
  losses: (model, net, rows, labels) => model.losses(net, rows, labels),
}

/** (logit − target)², as torch's MSELoss over single numbers. */
const squaredError: Omit<Objective, 'labelsAt' | 'measures'> = {
  target: 'targets',
  losses(model, net, rows, targets) {
    const { g } = net
    const off = g.sub(g.reshape(model.logits(net, rows), { shape: targets.type.shape }), targets)
    return g.mul(off, off)
  },
}

const OBJECTIVES: Readonly<Record<Exclude<Task, 'embedding'>, Objective>> = {
  'causal-lm': { ...crossEntropy, labelsAt: 'next', measures: false },
  'masked-lm': { ...crossEntropy, labelsAt: 'own', measures: false },
  classification: { ...crossEntropy, labelsAt: 'own', measures: true },
  'token-classification': { ...crossEntropy, labelsAt: 'own', measures: true },
  regression: { ...squaredError, labelsAt: 'own', measures: true },
}

/** Which states predict, where a model's own objective is not at hand. */
export function labelsAtOf({ task }: HeadSpec): LabelsAt {
  return task === 'embedding' ? 'own' : OBJECTIVES[task].labelsAt
}

/** @throws LowrankError `usage` for a model that has no head, so that nothing can be lost */
export function objectiveOf({ spec, raw }: Pick<Model, 'spec' | 'raw'>): Objective {
  if (spec.task !== 'embedding') return OBJECTIVES[spec.task]
  throw new LowrankError('usage', `${raw.file} means a model without a head, so there is nothing to compare with`, {
    file: raw.file,
    field: 'task',
    suggestion: 'give rows with labels, as {"text", "label"}, or name the task',
  })
}
