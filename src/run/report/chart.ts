/** @file A line chart as inline SVG: grid, axes, curves, points that name their values. Must not know what is plotted. */
import { significant } from '../../support/human.ts'
import { type Html, html } from './html.ts'
import { niceScale, type Point, type Scale, thin } from './scale.ts'

export interface Series {
  name: string
  points: readonly Point[]
  /** CSS class that colours it: `train`, `eval`, … */
  tone: string
  /** Drawn as dots on a line; for few points. */
  dots?: boolean
  /** Drawn pale, behind, and without labels. */
  faint?: boolean
}

export interface Chart {
  title: string
  /** For those who cannot see it: what the curves do. */
  summary: string
  series: readonly Series[]
  width: number
  height: number
  /** What runs along. @default step */
  unit?: string
  /** Values that the vertical axis reaches besides those of the curves: charts beside each other are then alike. */
  reach?: readonly number[]
}

/** More points than pixels show nothing more. */
const MAX_POINTS = 600
/** Points that name their value under the pointer. */
const MAX_LABELS = 240
const margin = { left: 52, right: 16, top: 12, bottom: 34 }

interface Frame extends Chart {
  xs: Scale
  ys: Scale
  x(value: number): number
  y(value: number): number
}

export function lineChart(chart: Chart): Html {
  const all = chart.series.flatMap((series) => series.points)
  if (!all.some((point) => Number.isFinite(point.y))) return html`<p class="none">Nothing was logged.</p>`
  const frame = frameOf(chart, all)
  const { title, summary, series, width, height } = chart
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${`${title}. ${summary}`}">
<title>${title}</title>
${grid(frame)}
${series.map((one) => curve(one, frame))}
${series.filter((one) => one.faint !== true).map((one) => labels(one, frame))}
</svg>`
}

/** All ticks of an axis in one notation: an axis of small numbers is in powers of ten throughout. */
export function tickText(tick: number, { ticks }: Scale): string {
  const small = Math.max(...ticks.map(Math.abs)) < 0.01
  return small && tick !== 0 ? tick.toExponential(1).replace('.0e', 'e') : significant(tick)
}

/** Names and colours of the curves; none for a single one, which its heading names. */
export function legend(series: readonly Series[]): Html {
  const named = series.filter((one) => one.faint !== true)
  if (named.length < 2) return html``
  return html`<ul class="legend">${named.map((one) => html`<li class="${one.tone}">${one.name}</li>`)}</ul>`
}

function frameOf(chart: Chart, all: readonly Point[]): Frame {
  const { width, height } = chart
  const steps = all.map((point) => point.x)
  const xs = niceScale(steps, width > 500 ? 8 : 4)
  // The curve fills the width: round ticks inside the range, not around it.
  const [first, last] = [Math.min(...steps), Math.max(...steps)]
  const [from, to] = first === last ? [xs.min, xs.max] : [first, last]
  const ys = niceScale([...all.map((point) => point.y), ...(chart.reach ?? [])])
  return {
    ...chart,
    xs: { min: from, max: to, ticks: xs.ticks.filter((tick) => tick >= from && tick <= to) },
    ys,
    x: (value) => margin.left + ((value - from) / (to - from)) * (width - margin.left - margin.right),
    y: (value) =>
      height - margin.bottom - ((value - ys.min) / (ys.max - ys.min)) * (height - margin.top - margin.bottom),
  }
}

function grid({ xs, ys, x, y, width, height, unit = 'step' }: Frame): Html {
  const bottom = height - margin.bottom
  const rows = ys.ticks.map((tick) => {
    const at = round(y(tick))
    return html`<line x1="${margin.left}" x2="${width - margin.right}" y1="${at}" y2="${at}"/><text x="${margin.left - 8}" y="${at + 4}" text-anchor="end">${tickText(tick, ys)}</text>`
  })
  const columns = xs.ticks.map((tick) => {
    const at = round(x(tick))
    return html`<text x="${at}" y="${bottom + 18}" text-anchor="middle">${significant(tick, 6)}</text>`
  })
  return html`<g class="grid" aria-hidden="true">${rows}${columns}<text class="axis" x="${width - margin.right}" y="${height - 2}" text-anchor="end">${unit}</text></g>`
}

function curve({ points, tone, dots, faint }: Series, { x, y }: Frame): Html {
  const shown = thin(points, MAX_POINTS)
  let path = ''
  let pen = false
  for (const point of shown) {
    // A value that is no number breaks the line where it stands.
    if (Number.isFinite(point.y)) path += `${pen ? 'L' : 'M'}${round(x(point.x))} ${round(y(point.y))}`
    pen = Number.isFinite(point.y)
  }
  const line = html`<path class="${`curve ${tone}${faint === true ? ' faint' : ''}`}" d="${path}"/>`
  if (dots !== true && shown.length > 1) return line
  const marks = shown.filter((point) => Number.isFinite(point.y))
  return html`${line}${marks.map((p) => html`<circle class="${`dot ${tone}`}" cx="${round(x(p.x))}" cy="${round(y(p.y))}" r="3.5"/>`)}`
}

/** Strips that show a point and its value while the pointer is over them: no script needed. */
function labels({ name, points, tone, dots }: Series, { x, y, width, height, unit }: Frame): Html {
  const shown = thin(points, MAX_LABELS).filter((point) => Number.isFinite(point.y))
  const half = dots === true ? 8 : Math.max(1, (width - margin.left - margin.right) / Math.max(1, shown.length - 1) / 2)
  return html`<g class="${`points ${tone}`}" aria-hidden="true">${shown.map((point) => {
    const [cx, cy] = [round(x(point.x)), round(y(point.y))]
    const place = unit === undefined ? `step ${point.x}` : `${significant(point.x)} ${unit}`
    const text = `${place}: ${name} ${significant(point.y, 4)}`
    const left = cx > width / 2
    return html`<g><rect x="${round(cx - half)}" y="${margin.top}" width="${round(half * 2)}" height="${height - margin.top - margin.bottom}"/><circle cx="${cx}" cy="${cy}" r="4"/><text x="${left ? cx - 10 : cx + 10}" y="${Math.max(margin.top + 12, cy - 10)}" text-anchor="${left ? 'end' : 'start'}">${text}</text></g>`
  })}</g>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
