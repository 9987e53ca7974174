/** @file What the commonest label as the only answer would get: the bar a run must be above. Must not know runs. */
import { classMetrics } from '../../train/metrics.ts'
import type { Figures } from './types.ts'

/** @param labels how often each stands in the rows that count; absent where labels are no classes */
export function constantAnswer(labels: Readonly<Record<string, number>> | undefined, figures: Figures): Figures {
  // No constant goes with any order of numbers, and none finds an entity of each kind.
  const none = ['pearson', 'spearman', 'f1', 'precision', 'recall'].filter((name) => figures[name] !== undefined)
  const bars = Object.fromEntries(none.map((name) => [name, 0]))
  const counts = Object.values(labels ?? {})
  const most = Math.max(0, ...counts)
  if (most === 0) return bars
  // Counted as a run's own figures are, so that what is equal is equal to the last bit.
  const actual = counts.flatMap((count, label) => Array<number>(count).fill(label))
  const predicted = actual.map(() => counts.indexOf(most))
  return { ...bars, ...classMetrics({ actual, predicted }, counts.length) }
}
