/** @file Spectra and errors of factorized matrices as one HTML page: no network, no script. Must not compute. */
import { writeFileAtomic } from '../../support/atomic-write.ts'
import { count, percent, significant } from '../../support/human.ts'
import { version } from '../../support/version.ts'
import type { FactorizedTensor, FactorizeResult } from '../algebra-types.ts'
import { type Chart, legend, lineChart } from '../report/chart.ts'
import { type Html, html } from '../report/html.ts'
import { style } from '../report/style.ts'

/** Tensors with pictures of their own; all stand in the table. */
const MOST_PICTURES = 60
/** A curve needs no more points. */
const MOST_POINTS = 400

export async function writeSpectraPage(file: string, result: FactorizeResult): Promise<void> {
  await writeFileAtomic(file, renderSpectra(result))
}

export function renderSpectra(result: FactorizeResult): string {
  const { path, tensors, algorithm, skipped } = result
  const shown = [...tensors].sort((a, b) => b.norm - a.norm).slice(0, MOST_PICTURES)
  const passed = skipped.length === 0 ? '' : `; ${count(skipped.length)} tensors passed over`
  const page = html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${`Spectra of ${path}`}</title>
<style>${{ markup: style }}</style>
</head>
<body>
<main>
<header>
<h1>How much rank the weights need</h1>
<p>${`${path}: ${count(tensors.length)} matrices, ${algorithm}${passed}`}</p>
</header>
${tableSection(tensors)}
${shown.map(tensorSection)}
${shown.length < tensors.length ? html`<p class="note">${`Pictures of the ${MOST_PICTURES} largest of ${count(tensors.length)} matrices.`}</p>` : html``}
<footer>${`Made by lowrank ${version} with lowrank factorize.`}</footer>
</main>
</body>
</html>
`
  return `<!doctype html>\n${page.markup}`
}

function tableSection(tensors: readonly FactorizedTensor[]): Html {
  const ranked = tensors.some(({ rank }) => rank !== undefined)
  const rows = tensors.map((t) => {
    const own = ranked
      ? html`<td>${t.rank ?? ''}</td><td>${t.error === undefined ? '' : percent(t.error)}</td><td>${t.optimal === undefined ? '' : percent(t.optimal)}</td>`
      : html``
    return html`<tr><th scope="row">${t.name}</th><td>${t.shape.join(' × ')}</td><td>${significant(t.norm)}</td><td>${rankFor(t, 0.5)}</td><td>${rankFor(t, 0.9)}</td><td>${rankFor(t, 0.99)}</td>${own}</tr>`
  })
  const own = ranked
    ? html`<th scope="col">rank</th><th scope="col">error</th><th scope="col">best possible</th>`
    : html``
  return html`<section><h2>Every matrix</h2><p class="note">The ranks that hold 50, 90 and 99 % of the energy, the sum of squares. An error is ‖W − B·A‖ over ‖W‖.</p>
<div class="scroll"><table><thead><tr><th scope="col">tensor</th><th scope="col">shape</th><th scope="col">norm</th><th scope="col">50 %</th><th scope="col">90 %</th><th scope="col">99 %</th>${own}</tr></thead>
<tbody>${rows}</tbody></table></div></section>`
}

/** The smallest rank that holds a share of the energy, where it is known. */
function rankFor({ errors }: FactorizedTensor, share: number): string {
  const rank = errors.findIndex((error) => error * error <= 1 - share)
  return rank < 0 ? `> ${errors.length - 1}` : String(rank)
}

function tensorSection(t: FactorizedTensor): Html {
  const kept = t.rank === undefined ? '' : ` Factors of rank ${t.rank} have the error ${percent(t.error ?? 0)}.`
  const ranks =
    t.effectiveRank === undefined
      ? ''
      : ` Effective rank ${significant(t.effectiveRank)}, stable rank ${significant(t.stableRank ?? 0)}.`
  return html`<section class="wide"><h2>${t.name}</h2><p class="note">${`${t.shape.join(' × ')}, ${t.dtype}.${ranks}${kept}`}</p>
<div class="pair">${picture(spectrumChart(t), 'Singular values')}${picture(errorChart(t), 'Error of every rank')}</div></section>`
}

function picture(chart: Chart, title: string): Html {
  return html`<div><h2>${title}</h2><p class="note">${chart.summary}</p>${legend(chart.series)}${lineChart(chart)}</div>`
}

function spectrumChart({ spectrum }: FactorizedTensor): Chart {
  const points = thinned(spectrum.map((value, i) => ({ x: i + 1, y: value })))
  const [first = 0, last = 0] = [spectrum[0], spectrum.at(-1)]
  const summary = `From ${significant(first)} to ${significant(last)}.`
  return {
    title: 'Singular values',
    summary,
    series: [{ name: 'value', tone: 'train', points }],
    width: 480,
    height: 250,
    unit: 'rank',
  }
}

function errorChart({ errors, rank, error }: FactorizedTensor): Chart {
  const points = thinned(errors.map((value, i) => ({ x: i, y: value })))
  const own =
    rank === undefined || error === undefined
      ? []
      : [{ name: 'factors', tone: 'eval', dots: true, points: [{ x: rank, y: error }] }]
  const summary = 'The best that factors of each rank can do, as a share of ‖W‖.'
  const series = [{ name: 'best possible', tone: 'train', points }, ...own]
  return { title: 'Error of every rank', summary, series, width: 480, height: 250, unit: 'rank' }
}

/** Points evenly over the ranks, the first and the last among them. */
function thinned<T>(points: readonly T[]): T[] {
  if (points.length <= MOST_POINTS) return [...points]
  const step = (points.length - 1) / (MOST_POINTS - 1)
  return Array.from({ length: MOST_POINTS }, (_, i) => points[Math.round(i * step)]).filter(
    (point) => point !== undefined,
  )
}
