/** @file How often each label stands in rows. Must not know models. */
import type { HeadSpec } from '../formats/task.ts'
import type { Dataset } from './dataset.ts'

/** By name, labels that do not occur included; undefined of tasks whose labels are no classes. */
export function labelCounts(data: Dataset, { task, labels }: HeadSpec): Record<string, number> | undefined {
  if (task !== 'classification' && task !== 'token-classification') return undefined
  const counts = labels.map(() => 0)
  for (const example of data)
    for (const label of example.labels) {
      const sofar = counts[label]
      if (sofar !== undefined) counts[label] = sofar + 1
    }
  return Object.fromEntries(labels.map((label, i) => [label, counts[i] ?? 0]))
}
