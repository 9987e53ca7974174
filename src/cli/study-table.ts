/** @file The groups of a study as a table, while it is going on and at its end. Must not know how runs are made. */
import type { StudyDifference, StudyGroup, StudyResult } from '../run/study/types.ts'
import { duration, percent } from '../support/human.ts'
import { table } from './table.ts'
import type { Palette } from './terminal.ts'

const MISSING = '–'

/** Metrics in as many digits as seeds can tell apart. */
export function figure(value: number | null | undefined): string {
  // A minus before nothing but zeros says nothing.
  return value === null || value === undefined ? MISSING : value.toFixed(4).replace(/^-(?=0\.0+$)/, '')
}

function interval(ci95: readonly [number, number] | null): string {
  return ci95 === null ? MISSING : `${figure(ci95[0])} to ${figure(ci95[1])}`
}

/** @param planned runs of each setting */
export function groupTable(
  groups: readonly StudyGroup[],
  { metric, planned }: { metric: string; planned: number },
  palette: Palette,
): string[] {
  const heading = ['setting', 'runs', metric, '± std', '95 % interval', 'failed']
  const rows = groups.map((group) => [
    group.name,
    `${group.runs}/${planned}`,
    figure(group.mean),
    figure(group.std),
    interval(group.ci95),
    group.failed === 0 ? '0' : `${group.failed} (${percent(group.failedShare)})`,
  ])
  return table([heading, ...rows], palette)
}

export function differenceTable(differences: readonly StudyDifference[], palette: Palette): string[] {
  const [first] = differences
  if (first === undefined) return []
  const heading = [`against ${first.against}, by seed`, 'pairs', 'difference', '95 % interval']
  const rows = differences.map((one) => [
    one.name,
    String(one.n),
    `${(one.mean ?? 0) > 0 ? '+' : ''}${figure(one.mean)}`,
    interval(one.ci95),
  ])
  return table([heading, ...rows], palette)
}

/** With data and init seeds crossed: what of the spread each explains. */
export function effectTable(groups: readonly StudyGroup[], palette: Palette): string[] {
  const rows = groups.flatMap(({ name, effects }) =>
    effects ? [[name, figure(effects.data), figure(effects.init), figure(effects.rest)]] : [],
  )
  if (rows.length === 0) return []
  return table([['spread that is due to', 'data order', 'new weights', 'neither alone'], ...rows], palette)
}

/** What a study leaves on the screen. */
export function studySummary(result: StudyResult, palette: Palette): string {
  const { output, metric, runs, groups, differences, total, seconds } = result
  const planned = total / Math.max(1, groups.length)
  const parts = [
    groupTable(groups, { metric, planned }, palette),
    differenceTable(differences, palette),
    effectTable(groups, palette),
  ]
  const head = `${palette.strong(output)}  ${runs.length} of ${total} runs, ${duration(seconds)}`
  const foot = result.stopped
    ? `stopped; go on with the same command and ${palette.flag('--resume')}`
    : `pictures and every run: ${output}/study.html, ${output}/study.json`
  return `${[head, ...parts.flatMap((lines) => (lines.length > 0 ? ['', ...lines] : [])), '', foot].join('\n')}\n`
}
