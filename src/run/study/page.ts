/** @file A study as one HTML page: table, box plots, paired differences, a curve a run. No network, no script. */
import { kebab } from '../../config/option.ts'
import { duration, percent, significant } from '../../support/human.ts'
import { version } from '../../support/version.ts'
import { type Chart, lineChart, type Series } from '../report/chart.ts'
import { type Html, html } from '../report/html.ts'
import { style } from '../report/style.ts'
import { isLowBetter } from './groups.ts'
import { boxPlot, intervalPlot } from './plots.ts'
import type { StudyGroup, StudyResult, StudyRun } from './types.ts'

const studyStyle = `
svg .name { fill: var(--ink); font-size: 13px; }
.box line { stroke: var(--train); stroke-width: 1.5; } .box rect { fill: color-mix(in srgb, var(--train) 18%, var(--card)); stroke: var(--train); stroke-width: 1.5; }
.box .median { stroke-width: 3; }
.run { fill: var(--ink); opacity: .45; } .run.bad { fill: var(--card); stroke: var(--eval); stroke-width: 1.5; opacity: 1; }
.interval line { stroke: var(--tone); stroke-width: 2; } .interval circle { fill: var(--tone); }
.grid .zero { stroke: var(--soft); }
td.name, th.name { white-space: normal; }
`

/** The whole page as text. */
export function renderStudy(result: StudyResult, title: string): string {
  const { metric, runs, total } = result
  const page = html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${`${title}: study`}</title>
<style>${{ markup: style + studyStyle }}</style>
</head>
<body>
<main>
<header>
<h1>${title}</h1>
<p>${`${runs.length} of ${total} runs, compared by ${metric} (${isLowBetter(metric) ? 'lower' : 'higher'} is better)`}</p>
</header>
${facts(result)}
${groupSection(result)}
${boxSection(result)}
${differenceSection(result)}
${effectSection(result.groups)}
${curveSection(result)}
${settingSection(result.groups)}
<footer>${`Made by lowrank ${version}. The same numbers, run by run, are in study.json.`}</footer>
</main>
</body>
</html>
`
  return `<!doctype html>\n${page.markup}`
}

function facts({ metric, runs, groups }: StudyResult): Html {
  const failed = runs.filter((run) => run.failed).length
  const crashed = runs.filter((run) => run.status === 'crashed').length
  const best = groups
    .filter((group) => group.mean !== null)
    .sort((a, b) => (isLowBetter(metric) ? 1 : -1) * ((a.mean ?? 0) - (b.mean ?? 0)))[0]
  const seconds = runs.reduce((sum, run) => sum + run.seconds, 0)
  const items: [string, string, string][] = [
    ['Settings', String(groups.length), `${seedCount(runs)} seeds`],
    ['Runs', String(runs.length), `${duration(seconds)} of training`],
    [
      'Failed',
      percent(runs.length === 0 ? 0 : failed / runs.length),
      `${failed} ${failed === 1 ? 'run' : 'runs'}, ${crashed} crashed`,
    ],
  ]
  if (best) items.push(['Best mean', decimals(best.mean), best.name])
  return html`<dl class="facts">${items.map(([name, value, more]) => html`<div><dt>${name}</dt><dd>${value}<small>${more}</small></dd></div>`)}</dl>`
}

const seedCount = (runs: readonly StudyRun[]): number =>
  new Set(runs.map(({ dataSeed, initSeed }) => `${dataSeed} ${initSeed}`)).size

function groupSection({ metric, groups }: StudyResult): Html {
  const heads = ['setting', 'runs', metric, '± std', '95 % interval', 'median', 'lowest', 'highest', 'failed']
  const rows = groups.map((group) => [
    group.name,
    String(group.runs),
    decimals(group.mean),
    decimals(group.std),
    range(group.ci95),
    decimals(group.median),
    decimals(group.min),
    decimals(group.max),
    `${group.failed} (${percent(group.failedShare)})`,
  ])
  const note =
    'Standard deviation of the sample (n − 1); percentile bootstrap of the mean, 10,000 resamples. Failed: crashed, or no better than the commonest label as the only answer.'
  return section('Settings compared', note, tableOf(heads, rows))
}

function boxSection({ metric, groups, runs }: StudyResult): Html {
  const rows = groups.map(({ name, mean, ci95 }) => ({
    name,
    ...{ mean, ci95 },
    points: runs.flatMap((run) =>
      run.setting === name && run.value !== null ? [{ value: run.value, label: labelOf(run), failed: run.failed }] : [],
    ),
  }))
  const note =
    'A box holds the middle half of the runs, its strong line is the median, each dot a run (hollow: failed). Below it: the mean and its 95 % interval.'
  return section('Every run', note, boxPlot(`${metric} of every run by setting`, metric, rows))
}

function differenceSection({ metric, differences }: StudyResult): Html {
  const [first] = differences
  if (!first) return html``
  const rows = differences.map(({ name, n, mean, std, ci95 }) => [
    name,
    String(n),
    mean === null ? '–' : `${mean > 0 ? '+' : ''}${decimals(mean)}`,
    decimals(std),
    range(ci95),
  ])
  const note = `Each setting minus ${first.against}, over runs of equal seeds. An interval that leaves out 0 is a difference that these seeds show.`
  return section(
    'Differences, paired by seed',
    note,
    intervalPlot(`difference of ${metric} from ${first.against}`, `difference of ${metric}`, differences),
    tableOf(['setting', 'pairs', 'difference', '± std', '95 % interval'], rows),
  )
}

function effectSection(groups: readonly StudyGroup[]): Html {
  const rows = groups.flatMap(({ name, effects }) =>
    effects
      ? [
          [
            name,
            ...[effects.data, effects.init, effects.rest, effects.dataMeansStd, effects.initMeansStd].map(decimals),
          ],
        ]
      : [],
  )
  if (rows.length === 0) return html``
  const note =
    'Standard deviation that is due to the data order alone, to the new weights alone, and to neither alone (two-way analysis of variance); then the spread of the means over the other seeds.'
  const heads = ['setting', 'data order', 'new weights', 'rest', 'means by data seed', 'means by init seed']
  return section('Where the spread comes from', note, tableOf(heads, rows))
}

function curveSection({ metric, groups, runs }: StudyResult): Html {
  const reach = runs.flatMap((run) => pointsOf(run, metric).map(({ y }) => y))
  if (reach.length === 0) return html``
  const charts = groups.map(({ name }) => {
    const curves = runs.filter((run) => run.setting === name).map((run) => pointsOf(run, metric))
    const series: Series[] = curves.map((points) => ({ name: 'run', tone: 'train', faint: true, points }))
    const middle = meanCurve(curves)
    if (middle.length > 0) series.push({ name: 'mean', tone: 'eval', dots: middle.length < 15, points: middle })
    const summary = `${curves.length} runs; their mean ends at ${decimals(middle.at(-1)?.y)}.`
    const chart: Chart = { title: name, summary, series, width: 480, height: 250, reach }
    return html`<section><h2>${name}</h2><p class="note">${`${metric} on the rows held out, a thin line a run`}</p>${lineChart(chart)}</section>`
  })
  return html`<div class="pair">${charts}</div>`
}

function pointsOf({ evaluations }: StudyRun, metric: string): { x: number; y: number }[] {
  return evaluations.flatMap(({ step, figures }) => {
    const y = figures[metric]
    return typeof y === 'number' ? [{ x: step, y }] : []
  })
}

/** At the steps that every run has. */
function meanCurve(curves: readonly (readonly { x: number; y: number }[])[]): { x: number; y: number }[] {
  const at = new Map<number, number[]>()
  for (const { x, y } of curves.flat()) at.set(x, [...(at.get(x) ?? []), y])
  return [...at]
    .filter(([, values]) => values.length === curves.length)
    .map(([x, values]) => ({ x, y: values.reduce((a, b) => a + b, 0) / values.length }))
    .sort((a, b) => a.x - b.x)
}

function settingSection(groups: readonly StudyGroup[]): Html {
  const list = groups.map(({ name, settings }) => {
    const own = Object.entries(settings)
    const shown = own.map(([option, value]) => html`<div><dt>${kebab(option)}</dt><dd>${textOf(value)}</dd></div>`)
    return html`<div><h3>${name}</h3><dl>${own.length > 0 ? shown : html`<div><dt>as the base</dt><dd></dd></div>`}</dl></div>`
  })
  return section('What each setting says beyond the base', '', html`<div class="settings">${list}</div>`)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function labelOf({ dataSeed, initSeed }: StudyRun): string {
  return dataSeed === initSeed ? `seed ${dataSeed}` : `data ${dataSeed}, init ${initSeed}`
}

function section(title: string, note: string, ...parts: readonly Html[]): Html {
  return html`<section class="wide"><h2>${title}</h2><p class="note">${note}</p>${parts}</section>`
}

function tableOf(heads: readonly string[], rows: readonly (readonly string[])[]): Html {
  const body = rows.map(
    ([name = '', ...cells]) =>
      html`<tr><th class="name" scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`,
  )
  return html`<div class="scroll"><table><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>${body}</tbody></table></div>`
}

function range(ci95: readonly [number, number] | null): string {
  return ci95 === null ? '–' : `${decimals(ci95[0])} to ${decimals(ci95[1])}`
}

function decimals(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  // Below a billionth it is rounding that is left of nothing.
  const size = Math.abs(value)
  return size >= 5e-5 ? value.toFixed(4) : size < 1e-9 ? '0.0000' : significant(value)
}
