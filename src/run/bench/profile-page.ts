/** @file A profile as one HTML page: time by phase, by op and by place, memory over the step. Must not measure. */
import { writeFileAtomic } from '../../support/atomic-write.ts'
import { bytes, percent, significant } from '../../support/human.ts'
import { version } from '../../support/version.ts'
import { lineChart } from '../report/chart.ts'
import { type Html, html } from '../report/html.ts'
import { style } from '../report/style.ts'
import type { BenchProfile, BenchResult, BenchTiming } from '../types.ts'

type Profiled = BenchResult & { profile: BenchProfile }

/** Rows of a table; what is left stands in one row. */
const ROWS = 24

const TONES = { forward: 'train', backward: 'eval', update: 'rate' } as const

const own = `
.stack { display: flex; height: .75rem; border-radius: 3px; overflow: hidden; }
.stack i { display: block; background: var(--tone); }
.phases { display: flex; height: 2.2rem; border-radius: 6px; overflow: hidden; margin: .8rem 0 .4rem; }
.phases i { display: block; background: var(--tone); }
`

export async function writeProfilePage(file: string, result: Profiled): Promise<void> {
  await writeFileAtomic(file, renderProfile(result))
}

export function renderProfile(result: Profiled): string {
  const { model, settings, profile, machine } = result
  const what = `sequence ${settings.sequence}, batch ${settings.batchSize}, rank ${settings.rank}${settings.recompute ? ', recomputing' : ''}`
  const page = html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${`Profile of a training step: ${model.name}`}</title>
<style>${{ markup: style + own }}</style>
</head>
<body>
<main>
<header>
<h1>Where the time of a step goes</h1>
<p>${`${model.name}, ${what}; ${settings.engine}, ${settings.threads} threads on ${machine.cpu}`}</p>
</header>
${phaseSection(profile)}
${timingSection('By op', 'What a graph’s node is for; an op may be several of the engine’s own.', profile.ops, profile)}
${timingSection('By place', 'Layers together; adapters stand at the layer they sit on.', profile.places, profile)}
${memorySection(profile)}
<footer>${`Made by lowrank ${version} with lowrank bench --profile.`}</footer>
</main>
</body>
</html>
`
  return `<!doctype html>\n${page.markup}`
}

function phaseSection({ phases, seconds, outside }: BenchProfile): Html {
  const items = phases.map(
    ({ phase, seconds: own }) => html`<li class="${TONES[phase]}">${`${phase} ${milliseconds(own)}`}</li>`,
  )
  const bars = phases.map(
    ({ phase, seconds: own }) =>
      html`<i class="${TONES[phase]}" style="width:${significant((100 * own) / seconds)}%" title="${`${phase}: ${milliseconds(own)}`}"></i>`,
  )
  const note = `${milliseconds(seconds)} a step while times are kept, ${percent(outside)} of it outside of kernels.`
  return html`<section class="wide"><h2>By phase</h2><p class="note">${note}</p><div class="phases">${bars}</div><ul class="legend">${items}</ul></section>`
}

function timingSection(title: string, note: string, all: readonly BenchTiming[], { seconds }: BenchProfile): Html {
  const shown = all.slice(0, ROWS)
  const widest = shown[0]?.seconds ?? 1
  const rows = shown.map(
    (t) =>
      html`<tr><th scope="row">${t.name}</th><td class="bar">${stack(t, widest)}</td><td>${milliseconds(t.seconds)}</td><td>${percent(t.seconds / seconds)}</td><td>${t.calls}</td><td>${t.gflops === undefined ? '' : Math.round(t.gflops)}</td><td>${significant(t.gigabytes, 2)}</td></tr>`,
  )
  const rest = all.slice(ROWS).reduce((sum, t) => sum + t.seconds, 0)
  const last =
    rest > 0
      ? html`<tr><td>everything else</td><td class="bar"></td><td>${milliseconds(rest)}</td><td>${percent(rest / seconds)}</td><td></td><td></td><td></td></tr>`
      : html``
  return html`<section><h2>${title}</h2><p class="note">${note}</p>
<div class="scroll"><table><thead><tr><th scope="col">${title.replace('By ', '')}</th><th class="bar" aria-hidden="true"></th><th scope="col">a step</th><th scope="col">share</th><th scope="col">calls</th><th scope="col">GFLOP/s</th><th scope="col">GB/s</th></tr></thead>
<tbody>${rows}${last}</tbody></table></div></section>`
}

function stack(timing: BenchTiming, widest: number): Html {
  const parts = (['forward', 'backward', 'update'] as const).map(
    (phase) =>
      html`<i class="${TONES[phase]}" style="width:${significant((100 * timing[phase]) / widest)}%" title="${`${phase}: ${milliseconds(timing[phase])}`}"></i>`,
  )
  return html`<div class="stack">${parts}</div>`
}

function memorySection({ memory, peakBytes }: BenchProfile): Html {
  const points = memory.map(({ at, bytes: held }) => ({ x: at * 100, y: held / 1e6 }))
  const summary = `At most ${bytes(peakBytes)} are held at once.`
  const chart = {
    title: 'Memory',
    summary,
    series: [{ name: 'MB', tone: 'norm', points }],
    width: 1000,
    height: 300,
    unit: '% of the step',
  }
  const note = `Megabytes of values the engine holds as the step goes on, packed copies of weights included. ${summary}`
  return html`<section class="wide"><h2>Memory</h2><p class="note">${note}</p>${lineChart(chart)}</section>`
}

function milliseconds(seconds: number): string {
  return `${significant(1000 * seconds)} ms`
}
