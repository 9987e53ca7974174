/**
 * @file The report as one HTML page: numbers, curves, samples, trained parameters, settings. No network, no script.
 * Must not read files.
 */
import { bytes, count, duration, percent, short, significant } from '../../support/human.ts'
import { version } from '../../support/version.ts'
import { type Chart, legend, lineChart, type Series } from './chart.ts'
import type { ReportData, Sample, Setting, TrainedKind } from './data.ts'
import { dataSection } from './data-section.ts'
import { type Html, html } from './html.ts'
import { smooth } from './scale.ts'
import { factList, renderShell } from './shell.ts'
import { toldSections } from './told-section.ts'
import type { TrainerLog } from './trainer-log.ts'

/** Curves with more points than this are drawn smoothed, over the pale raw ones. */
const SMOOTH_FROM = 40

/** The whole page as text. */
export function renderReport(data: ReportData): string {
  const { title, model, method, log } = data
  const body = html`${facts(data)}
${lossSection(log)}
<div class="pair">
${curveSection(
  'Learning rate',
  'The rate that each step used.',
  { name: 'rate', tone: 'rate' },
  log.steps.map((s) => ({ x: s.step, y: s.learningRate })),
)}
${curveSection(
  'Gradient norm',
  'Before clipping.',
  { name: 'norm', tone: 'norm' },
  log.steps.map((s) => ({ x: s.step, y: s.gradNorm })),
)}
</div>
${toldSections(data.told ?? [])}
${dataSection(data.data)}
${samplesSection(data.samples)}
${trainedSection(data)}
${settingsSection(data.settings)}`
  return renderShell({
    title: `${title}: training report`,
    heading: title,
    below: `${methodName(method)} of ${model}`,
    body,
    footer: `Made by lowrank ${version}. The same numbers, line by line, are in trainer_log.jsonl.`,
  })
}

function methodName(method: string): string {
  return method === 'full' ? 'Full fine-tuning' : method === 'lora' ? 'LoRA fine-tuning' : method
}

function facts({ log, trained, parameters }: ReportData): Html {
  const last = log.steps.at(-1)
  const evaluated = log.evals.at(-1)
  const total = trained.reduce((sum, kind) => sum + kind.parameters, 0)
  const best = log.evals.reduce((low, line) => Math.min(low, line.evalLoss), Number.POSITIVE_INFINITY)
  const peak = log.steps.reduce((high, line) => Math.max(high, line.peakMemoryBytes || 0), 0)
  const items: [string, string, string][] = []
  if (last !== undefined) items.push(['Training loss', decimals(last.loss), `from ${decimals(log.steps[0]?.loss)}`])
  if (evaluated !== undefined) {
    const perplexity = `perplexity ${significant(Math.exp(evaluated.evalLoss))}`
    const low = best < evaluated.evalLoss ? `, lowest ${decimals(best)}` : ''
    items.push(['Evaluation loss', decimals(evaluated.evalLoss), perplexity + low])
  }
  if (log.test !== undefined) {
    const metrics = Object.entries(log.test.metrics).map(([name, value]) => `${name} ${decimals(value)}`)
    items.push(['Test loss', decimals(log.test.loss), [`step ${count(log.test.step)}`, ...metrics].join(', ')])
  }
  if (last !== undefined) {
    items.push([
      'Steps',
      count(last.step),
      `of ${count(last.totalSteps)}, ${last.epoch === 1 ? '1 epoch' : `${significant(last.epoch)} epochs`}`,
    ])
    const rate = last.elapsedSeconds > 0 ? `${short(last.tokens / last.elapsedSeconds)} tokens/s on average` : ''
    items.push(['Time', duration(last.elapsedSeconds), rate])
    items.push(['Peak memory', bytes(peak), `${short(last.tokens)} tokens seen`])
  }
  if (total > 0)
    items.push([
      'Trained',
      short(total),
      parameters === undefined ? 'parameters' : `${percent(total / parameters)} of ${short(parameters)} parameters`,
    ])
  return factList(items)
}

function lossSection({ steps, evals }: TrainerLog): Html {
  const raw = steps.map((line) => ({ x: line.step, y: line.loss }))
  const smoothed = raw.length >= SMOOTH_FROM
  const series: Series[] = smoothed
    ? [
        { name: 'raw', tone: 'train', faint: true, points: raw },
        { name: 'training', tone: 'train', points: smooth(raw, Math.min(20, raw.length / 12)) },
      ]
    : [{ name: 'training', tone: 'train', points: raw }]
  const held = evals.map((line) => ({ x: line.step, y: line.evalLoss }))
  if (held.length > 0) series.push({ name: 'evaluation', tone: 'eval', dots: true, points: held })
  const note = `Mean over labelled tokens${smoothed ? '; the pale line is each logged step, the strong one its moving average' : ''}.`
  const end = evals.length > 0 ? `, evaluation loss to ${decimals(evals.at(-1)?.evalLoss)}` : ''
  const summary = `Training loss goes from ${decimals(raw[0]?.y)} to ${decimals(raw.at(-1)?.y)}${end}.`
  return chartSection({ title: 'Loss', summary, series, width: 1000, height: 340 }, note)
}

function curveSection(
  title: string,
  note: string,
  look: { name: string; tone: string },
  points: Series['points'],
): Html {
  const summary = `From ${significant(points[0]?.y ?? Number.NaN)} to ${significant(points.at(-1)?.y ?? Number.NaN)}.`
  return chartSection({ title, summary, series: [{ ...look, points }], width: 480, height: 250 }, note)
}

function chartSection(chart: Chart, note: string): Html {
  return html`<section class="${chart.width > 500 ? 'wide' : ''}"><h2>${chart.title}</h2><p class="note">${note}</p>${legend(chart.series)}${lineChart(chart)}</section>`
}

function samplesSection(samples: readonly Sample[]): Html {
  if (samples.length === 0) return html``
  const row = (name: string, text: string | undefined, tone = ''): Html =>
    text === undefined
      ? html``
      : html`<dt>${name}</dt><dd class="${tone}"><pre>${text === '' ? '(nothing)' : text}</pre></dd>`
  return html`<section><h2>Samples</h2><p class="note">What the model writes after training, the likeliest token at each place.</p>
${samples.map((s) => html`<div class="sample"><dl>${row('Prompt', s.prompt)}${row('Before', s.before)}${row('After', s.text, 'tuned')}${s.expected === s.text ? undefined : row('Wanted', s.expected)}</dl></div>`)}
</section>`
}

function trainedSection({ trained, parameters, moments }: ReportData): Html {
  if (trained.length === 0) return html``
  const sum = (pick: (kind: TrainedKind) => number): number => trained.reduce((total, kind) => total + pick(kind), 0)
  const [total, stored] = [sum((kind) => kind.parameters), sum((kind) => kind.bytes)]
  // Weights, gradients and moments are f32 while training.
  const whileTraining = total * 4 * (2 + moments)
  const of = parameters === undefined ? '' : `, ${percent(total / parameters)} of the model`
  const note = `${count(total)} parameters are trained${of}. They take ${bytes(stored)} on disk and ${bytes(whileTraining)} while training: weights, gradients${moments > 0 ? ` and ${moments} moments` : ''} in f32.`
  const widest = Math.max(...trained.map((kind) => kind.parameters))
  const rows = trained.map(
    ({ kind, modules, parameters: n, bytes: size }) =>
      html`<tr><th scope="row">${kind}</th><td class="bar"><i style="width:${significant((n / widest) * 100)}%"></i></td><td>${count(modules)}</td><td>${count(n)}</td><td>${percent(n / total)}</td><td>${bytes(size)}</td></tr>`,
  )
  return html`<section><h2>Trained parameters and what they cost</h2><p class="note">${note}</p>
<div class="scroll"><table><thead><tr><th scope="col">module</th><th class="bar" aria-hidden="true"></th><th scope="col">modules</th><th scope="col">parameters</th><th scope="col">share</th><th scope="col">on disk</th></tr></thead>
<tbody>${rows}</tbody>
<tfoot><tr><td>all</td><td class="bar"></td><td>${count(sum((kind) => kind.modules))}</td><td>${count(total)}</td><td>100 %</td><td>${bytes(stored)}</td></tr></tfoot></table></div>
</section>`
}

function settingsSection(settings: readonly Setting[]): Html {
  if (settings.length === 0) return html``
  const groups = [...new Set(settings.map((setting) => setting.group))]
  const list = (group: string): Html[] =>
    settings
      .filter((one) => one.group === group)
      .map(({ name, value }) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)
  return html`<section><h2>Settings</h2><p class="note">Effective values, as in run.yaml.</p>
<div class="settings">${groups.map((group) => html`<div><h3>${group}</h3><dl>${list(group)}</dl></div>`)}</div>
</section>`
}

function decimals(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? 'not a number' : value.toFixed(4)
}
