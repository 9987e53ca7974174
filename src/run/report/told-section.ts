/**
 * @file What a model told of rows whose answer is known: a confusion matrix with each class's figures, or the numbers it
 * gave against those it should. Must not know models or files.
 */
import { count, percent, significant } from '../../support/human.ts'
import type { Told } from '../../train/measure.ts'
import { classFigures } from '../../train/metrics.ts'
import { type Html, html } from './html.ts'
import { niceScale } from './scale.ts'

/** Predictions over the rows of one set. */
export interface ToldRows {
  /** `Evaluation rows`. */
  readonly name: string
  readonly told: Told
}

/** A matrix of more classes than this is a list of its largest mistakes. */
const MATRIX = 24
const MISTAKES = 20

export function toldSections(sets: readonly ToldRows[]): Html[] {
  return sets.map(({ name, told }) =>
    told.kind === 'classes' ? classesSection(name, told) : scatterSection(name, told),
  )
}

function classesSection(name: string, { labels, counts }: Extract<Told, { kind: 'classes' }>): Html {
  const figures = classFigures(counts)
  const total = counts.flat().reduce((a, b) => a + b, 0)
  const right = counts.reduce((sum, row, i) => sum + (row[i] ?? 0), 0)
  const note = `${count(right)} of ${count(total)} are told right (${percent(total === 0 ? 0 : right / total)}).`
  const rows = labels.map((label, i) => {
    const { actual = 0, predicted = 0, precision, recall, f1 } = figures[i] ?? {}
    return html`<tr><th scope="row">${label}</th><td>${count(actual)}</td><td>${count(predicted)}</td><td>${share(precision)}</td><td>${share(recall)}</td><td>${share(f1)}</td></tr>`
  })
  return html`<section><h2>${`${name}: what was told as what`}</h2><p class="note">${note}</p>
${labels.length <= MATRIX ? matrix(labels, counts) : mistakes(labels, counts)}
<div class="scroll"><table><thead><tr><th scope="col">class</th><th scope="col">rows</th><th scope="col">told</th><th scope="col">precision</th><th scope="col">recall</th><th scope="col">F1</th></tr></thead><tbody>${rows}</tbody></table></div>
</section>`
}

/** A row a true class, a column a class told; the darker, the larger the share of the row. */
function matrix(labels: readonly string[], counts: readonly (readonly number[])[]): Html {
  const rows = counts.map((row, i) => {
    const sum = row.reduce((a, b) => a + b, 0)
    const cells = row.map((n, j) => {
      const shade = sum === 0 ? 0 : Math.round((100 * n) / sum)
      const title = `${labels[i]} told as ${labels[j]}: ${n} of ${sum}`
      return html`<td class="${i === j ? 'right' : n > 0 ? 'wrong' : ''}" style="--shade:${shade}%" title="${title}">${n === 0 ? '·' : count(n)}</td>`
    })
    return html`<tr><th scope="row">${labels[i] ?? ''}</th>${cells}</tr>`
  })
  const heads = labels.map((label) => html`<th scope="col">${label}</th>`)
  return html`<div class="scroll"><table class="confusion"><caption>A row a true class, a column the class that was told.</caption><thead><tr><td></td>${heads}</tr></thead><tbody>${rows}</tbody></table></div>`
}

function mistakes(labels: readonly string[], counts: readonly (readonly number[])[]): Html {
  const all = counts.flatMap((row, i) => row.map((n, j) => ({ n, i, j }))).filter(({ n, i, j }) => n > 0 && i !== j)
  const shown = all.sort((a, b) => b.n - a.n).slice(0, MISTAKES)
  const rows = shown.map(
    ({ n, i, j }) =>
      html`<tr><th scope="row">${labels[i] ?? ''}</th><td>${labels[j] ?? ''}</td><td>${count(n)}</td></tr>`,
  )
  return html`<div class="scroll"><table><thead><tr><th scope="col">class</th><th scope="col">most often told as</th><th scope="col">rows</th></tr></thead><tbody>${rows}</tbody></table></div>`
}

const SIZE = 360
const MARGIN = 52

function scatterSection(name: string, { points }: Extract<Told, { kind: 'numbers' }>): Html {
  const scale = niceScale(points.flat())
  const place = (value: number): number =>
    Math.round(10 * (MARGIN + ((value - scale.min) / (scale.max - scale.min)) * (SIZE - MARGIN - 12))) / 10
  const [x, y] = [place, (value: number): number => SIZE - place(value)]
  const ticks = scale.ticks.map(
    (tick) =>
      html`<line x1="${MARGIN}" x2="${SIZE - 12}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${MARGIN - 8}" y="${y(tick) + 4}" text-anchor="end">${significant(tick)}</text><text x="${x(tick)}" y="${SIZE - MARGIN + 18}" text-anchor="middle">${significant(tick)}</text>`,
  )
  const dots = points.map(([actual, predicted]) => html`<circle cx="${x(actual)}" cy="${y(predicted)}" r="2.5"/>`)
  const ends = [scale.min, scale.max] as const
  return html`<section><h2>${`${name}: told against true`}</h2><p class="note">${`Across the number of each row, upwards the number told; on the line both are equal. ${count(points.length)} rows.`}</p>
<svg class="scatter train" viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-label="${`${name}: predicted against true numbers`}">
<g class="grid" aria-hidden="true">${ticks}</g>
<path class="curve faint" d="M${x(ends[0])} ${y(ends[0])}L${x(ends[1])} ${y(ends[1])}"/>
${dots}
</svg></section>`
}

function share(value: number | undefined): string {
  return value === undefined ? '–' : value.toFixed(3)
}
