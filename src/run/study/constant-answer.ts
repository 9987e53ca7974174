/** @file What the commonest label as the only answer would get: the bar a run must be above. Must not know runs. */
import type { Figures } from './types.ts'

/** @param labels how often each stands in the rows that count; absent where labels are no classes */
export function constantAnswer(labels: Readonly<Record<string, number>> | undefined, figures: Figures): Figures {
  // No constant goes with any order of numbers, and none finds an entity of each kind.
  const none = ['pearson', 'spearman', 'f1', 'precision', 'recall'].filter((name) => figures[name] !== undefined)
  const bars: Record<string, number> = Object.fromEntries(none.map((name) => [name, 0]))
  const counts = Object.values(labels ?? {}).filter((count) => count > 0)
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return bars
  const share = Math.max(...counts) / total
  // Its F1 is 2p / (1 + p) for the commonest label and 0 for every other.
  return { ...bars, accuracy: share, macroF1: (2 * share) / (1 + share) / counts.length, matthews: 0 }
}
