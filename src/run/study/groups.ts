/** @file Runs gathered by setting, and settings against the first of them. Must not know how runs are made or shown. */
import { LowrankError } from '../../support/errors.ts'
import { estimate, quantile, seedEffects } from './statistics.ts'
import type { Figures, StudyDifference, StudyGroup, StudyRun } from './types.ts'

/** What `auto` takes, most telling first: entities have an accuracy too, which O alone makes high. */
const BY_TASK = ['f1', 'pearson', 'accuracy'] as const

/** The metric that is compared: the one asked for, else the task's. */
export function metricOf(asked: string, figures: Figures | undefined): string {
  if (asked !== 'auto') return asked
  return BY_TASK.find((name) => figures?.[name] !== undefined) ?? 'loss'
}

/** @throws LowrankError `usage` for a metric that runs like these do not have */
export function checkMetric(asked: string, figures: Figures): void {
  if (asked === 'auto' || figures[asked] !== undefined) return
  const names = Object.keys(figures)
  throw new LowrankError('usage', `metric: these runs have no ${asked}; they have ${names.join(', ')}`, {
    field: 'metric',
    suggestion: `go on with --resume --metric ${metricOf('auto', figures)}: what is done counts`,
  })
}

export const isLowBetter = (metric: string): boolean => metric === 'loss'

/** Not above what the commonest label as the only answer gets. A loss has no such bar. */
export function isFailed(metric: string, value: number | null, constant: Figures): boolean {
  if (value === null) return true
  const bar = constant[metric]
  return bar !== undefined && value <= bar
}

/** A run by the metric that is now asked for: all its figures are kept. */
export function byMetric(run: StudyRun, metric: string): StudyRun {
  const value = run.status === 'crashed' ? null : (run.figures[metric] ?? null)
  return { ...run, value, failed: isFailed(metric, value, run.constant) }
}

/** @param settings names and own options, in the order they are shown */
export function groupsOf(
  settings: readonly { readonly name: string; readonly own: Record<string, unknown> }[],
  runs: readonly StudyRun[],
  crossed: boolean,
): StudyGroup[] {
  return settings.map(({ name, own }) => {
    const mine = runs.filter(({ setting }) => setting === name)
    const values = valuesOf(mine)
    const sorted = Float64Array.from(values).sort()
    const failed = mine.filter((run) => run.failed).length
    const at = (share: number): number | null => (sorted.length === 0 ? null : quantile(sorted, share))
    const effects = crossed ? effectsOf(mine) : undefined
    return {
      name,
      settings: own,
      ...estimate(values),
      failed,
      failedShare: mine.length === 0 ? 0 : failed / mine.length,
      runs: mine.length,
      min: at(0),
      max: at(1),
      median: at(0.5),
      ...(effects ? { effects } : {}),
    }
  })
}

/** Each setting but the first against it, over the seeds that both have finished. */
export function differencesOf(names: readonly string[], runs: readonly StudyRun[]): StudyDifference[] {
  const [first, ...others] = names
  if (first === undefined) return []
  const values = new Map(runs.map((run) => [keyOf(run.setting, run), run.value]))
  return others.map((name) => {
    const pairs = runs
      .filter((run) => run.setting === name)
      .flatMap((run) => {
        const other = values.get(keyOf(first, run))
        return run.value === null || other === null || other === undefined ? [] : [run.value - other]
      })
    return { name, against: first, ...estimate(pairs) }
  })
}

const keyOf = (setting: string, { dataSeed, initSeed }: StudyRun): string => `${dataSeed} ${initSeed} ${setting}`

function valuesOf(runs: readonly StudyRun[]): number[] {
  return runs.flatMap(({ value }) => (value === null ? [] : [value]))
}

function effectsOf(runs: readonly StudyRun[]): ReturnType<typeof seedEffects> {
  const seeds = (pick: (run: StudyRun) => number): number[] => [...new Set(runs.map(pick))].sort((a, b) => a - b)
  const initSeeds = seeds((run) => run.initSeed)
  const found = (data: number, init: number): number | null =>
    runs.find((run) => run.dataSeed === data && run.initSeed === init)?.value ?? null
  return seedEffects(seeds((run) => run.dataSeed).map((data) => initSeeds.map((init) => found(data, init))))
}
