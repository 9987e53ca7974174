/**
 * @file Which of a run's evaluations is the best: by the figure that the task is told by, then by loss. Must not know how
 * weights are kept.
 */
import type { Metrics } from './metrics.ts'

/** One evaluation of a run. */
export interface Evaluated {
  readonly step: number
  readonly loss: number
  readonly metrics: Metrics
}

/** F1 of entities, accuracy of classes, Spearman's correlation of numbers; language models have none but their loss. */
const FIGURES = ['f1', 'accuracy', 'spearman'] as const

/** The name of the figure that chooses. */
export function figureOf(metrics: Metrics): (typeof FIGURES)[number] | 'loss' {
  return FIGURES.find((name) => metrics[name] !== undefined) ?? 'loss'
}

/** Whether an evaluation is better than the best before; of equal figures the lower loss is. */
export function isBetter(one: Evaluated, best: Evaluated | null): boolean {
  if (!best) return true
  const figure = figureOf(one.metrics)
  const [now, before] = [one.metrics[figure], best.metrics[figure]]
  if (now === undefined || before === undefined || now === before) return one.loss < best.loss
  return now > before
}
