/** @file What a loralib state file holds, in a few facts, and what a conversion needs besides. Must not read values. */
import { describeLoralib, type ListedTensor } from '../../formats/loralib.ts'
import type { LoralibFacts } from '../types.ts'

export function loralibFacts(listed: readonly ListedTensor[]): LoralibFacts {
  const { layers, biases, whole, base, problems } = describeLoralib(listed)
  const fused = layers.filter(({ parts }) => parts > 1)
  const ranks = count(layers.map(({ rank }) => rank))
  return {
    rank: ranks[0]?.[0] ?? 0,
    modules: count(layers.map(({ path }) => path.slice(path.lastIndexOf('.') + 1))).map(
      ([name, n]) => `${name} × ${n}`,
    ),
    fused: fused.length,
    biases: biases.length,
    head: [...whole],
    missing: [
      'alpha (the scale of the update is alpha / rank)',
      'the base model',
      ...(fused.length > 0 ? ['which parts of the fused layers are adapted'] : []),
    ],
    problems: [...problems, ...(base.length > 0 ? [`it holds ${base.length} weights of the adapted layers too`] : [])],
  }
}

/** Each value with how often it is there, commonest first. */
function count<T>(values: readonly T[]): [T, number][] {
  const counts = new Map<T, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])
}
