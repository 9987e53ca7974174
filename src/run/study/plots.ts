/**
 * @file Box plots and intervals as inline SVG, a row a setting: what a study's page shows at a glance.
 * Must not know runs.
 */
import { significant } from '../../support/human.ts'
import { tickText } from '../report/chart.ts'
import { type Html, html } from '../report/html.ts'
import { niceScale, type Scale } from '../report/scale.ts'
import { quantile } from './statistics.ts'

export interface BoxRow {
  name: string
  points: readonly { value: number; label: string; failed: boolean }[]
  mean: number | null
  ci95: readonly [number, number] | null
}

export interface IntervalRow {
  name: string
  mean: number | null
  ci95: readonly [number, number] | null
}

const WIDTH = 1000
const LEFT = 210
const RIGHT = 20
const ROW = 46
const FOOT = 40
/** Letters of a setting's name that fit beside its row. */
const NAME = 30

interface Axis {
  readonly scale: Scale
  readonly height: number
  x(value: number): number
}

/** Quartiles as a box, the median in it, whiskers to the furthest value within 1.5 box lengths, every value as a dot. */
export function boxPlot(title: string, metric: string, rows: readonly BoxRow[]): Html {
  const values = rows.flatMap((row) => [...row.points.map(({ value }) => value), ...(row.ci95 ?? [])])
  if (values.length === 0) return html`<p class="none">No run has a value yet.</p>`
  const axis = axisOf(values, rows.length)
  return framed(title, metric, rows, axis, (row, middle) => box(row, middle, axis))
}

/** Means with their 95 % intervals, and a line at no difference. */
export function intervalPlot(title: string, metric: string, rows: readonly IntervalRow[]): Html {
  const axis = axisOf([0, ...rows.flatMap((row) => row.ci95 ?? [])], rows.length)
  return framed(title, metric, rows, axis, ({ mean, ci95 }, middle) => interval(mean, ci95, middle, axis, 'eval'))
}

function axisOf(values: readonly number[], rows: number): Axis {
  const scale = niceScale(values, 8)
  const x = (value: number): number =>
    round(LEFT + ((value - scale.min) / (scale.max - scale.min)) * (WIDTH - LEFT - RIGHT))
  return { scale, height: rows * ROW + FOOT, x }
}

function framed<R extends { name: string }>(
  title: string,
  unit: string,
  rows: readonly R[],
  { scale, height, x }: Axis,
  draw: (row: R, middle: number) => Html,
): Html {
  const bottom = height - FOOT
  const ticks = scale.ticks.map(
    (tick) =>
      html`<line class="${tick === 0 ? 'zero' : ''}" x1="${x(tick)}" x2="${x(tick)}" y1="0" y2="${bottom}"/><text x="${x(tick)}" y="${bottom + 18}" text-anchor="middle">${tickText(tick, scale)}</text>`,
  )
  const names = rows.map(
    ({ name }, i) =>
      html`<text class="name" x="${LEFT - 14}" y="${i * ROW + ROW / 2 + 4}" text-anchor="end">${name.length > NAME ? `${name.slice(0, NAME - 1)}…` : name}<title>${name}</title></text>`,
  )
  return html`<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">
<title>${title}</title>
<g class="grid" aria-hidden="true">${ticks}<text class="axis" x="${WIDTH - RIGHT}" y="${height - 2}" text-anchor="end">${unit}</text></g>
${names}${rows.map((row, i) => draw(row, i * ROW + ROW / 2))}
</svg>`
}

function box({ points, mean, ci95 }: BoxRow, middle: number, axis: Axis): Html {
  const { x } = axis
  const sorted = points.map(({ value }) => value).sort((a, b) => a - b)
  if (sorted.length === 0) return html``
  const [low, half, high] = [quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)]
  const reach = 1.5 * (high - low)
  const from = sorted.find((value) => value >= low - reach) ?? low
  const to = sorted.findLast((value) => value <= high + reach) ?? high
  // Dots lie over and under each other by their place in the list: equal values stay countable.
  const dots = points.map(({ value, label, failed }, i) => {
    const off = ((i * 5) % 7) - 3
    return html`<circle class="${failed ? 'run bad' : 'run'}" cx="${x(value)}" cy="${middle + off * 3}" r="3"><title>${`${label}: ${significant(value, 4)}`}</title></circle>`
  })
  return html`<g class="box"><line x1="${x(from)}" x2="${x(to)}" y1="${middle}" y2="${middle}"/><rect x="${x(low)}" y="${middle - 12}" width="${Math.max(1, round(x(high) - x(low)))}" height="24"/><line class="median" x1="${x(half)}" x2="${x(half)}" y1="${middle - 12}" y2="${middle + 12}"/></g>${dots}${interval(mean, ci95, middle + 17, axis, 'eval')}`
}

function interval(
  mean: number | null,
  ci95: readonly [number, number] | null,
  middle: number,
  { x }: Axis,
  tone: string,
): Html {
  if (mean === null || ci95 === null) return html``
  const text = `mean ${significant(mean, 4)}, 95 % interval ${significant(ci95[0], 4)} to ${significant(ci95[1], 4)}`
  return html`<g class="${`interval ${tone}`}"><title>${text}</title><line x1="${x(ci95[0])}" x2="${x(ci95[1])}" y1="${middle}" y2="${middle}"/><circle cx="${x(mean)}" cy="${middle}" r="4"/></g>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
