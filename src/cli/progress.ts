/**
 * @file Progress as people watch it on stderr: a moving bar with rate and time left, and lines that stay.
 * Must not know verbs; it reads the typed events of `run/types.ts`.
 */
import type { NoticeEvent, ProgressEvent, StepEvent, TrainEvent } from '../run/types.ts'
import { bytes, count, duration, percent, short, significant } from '../support/human.ts'
import { dataLines } from './data-lines.ts'
import type { Palette, Terminal } from './terminal.ts'

/** Shortest time between two drawings of the bar; a training step may be far shorter. */
const REDRAW_MS = 80

export interface Progress {
  show(event: TrainEvent | ProgressEvent | NoticeEvent): void
  /** Removes the bar. */
  end(): void
}

/** Follows events on a terminal; where stderr is none, only lines that stay are written. */
export function followProgress(terminal: Terminal, now: () => number = Date.now): Progress {
  let drawn = Number.NEGATIVE_INFINITY
  let rates: Rate | undefined
  const draw = (line: string, last: boolean): void => {
    if (!last && now() - drawn < REDRAW_MS) return
    drawn = now()
    terminal.status(line)
  }
  return {
    show(event) {
      for (const line of staying(event, terminal.err, terminal.width)) terminal.say(line)
      if (event.type === 'step') draw(stepBar(event, terminal), event.step === event.totalSteps)
      if (event.type !== 'progress') return
      if (rates?.label !== event.label) rates = { label: event.label, start: now(), from: event.done }
      draw(workBar(event, rates, now(), terminal), event.done === event.total)
      if (event.done === event.total) terminal.status('')
    },
    end() {
      terminal.status('')
    },
  }
}

/** Lines of an event that are kept on the screen. */
function staying(event: TrainEvent | ProgressEvent | NoticeEvent, palette: Palette, width: number): string[] {
  switch (event.type) {
    case 'notice':
      return [palette.faint(event.message)]
    case 'start':
      return [...event.warnings.map((warning) => `${palette.warn('warning:')} ${warning}`), startLine(event, palette)]
    case 'data':
      return dataLines(event.report, palette, width)
    case 'preflight':
      return [palette.faint(preflightLine(event))]
    case 'resume':
      return [palette.strong(event.message)]
    case 'step':
      return event.logged ? [stepLine(event, palette)] : []
    case 'eval':
      return [
        `${' '.repeat(stepColumn)}${palette.good(`eval loss ${event.evalLoss.toFixed(4)}`)} over ${count(event.evalTokens)} ${metricsOf(event.metrics)}`,
      ]
    case 'test':
      return [
        `${' '.repeat(stepColumn)}${palette.good(`test loss ${event.testLoss.toFixed(4)}`)} over ${count(event.testTokens)} ${metricsOf(event.metrics)}`,
      ]
    case 'checkpoint':
      return [palette.faint(`${' '.repeat(stepColumn)}saved ${event.path}`)]
    case 'graph':
      return [event.text.trimEnd(), palette.faint(`graph ${event.hash}`)]
    case 'progress':
    case 'done':
      return []
  }
}

/** What an evaluation counted, with the metrics of the task. */
function metricsOf(metrics: Readonly<Record<string, number>>): string {
  const found = Object.entries(metrics).map(([name, value]) => `${name} ${value.toFixed(4)}`)
  return found.length === 0 ? 'tokens' : `labels: ${found.join(', ')}`
}

function startLine(event: Extract<TrainEvent, { type: 'start' }>, palette: Palette): string {
  const share = `${short(event.trainable)} of ${short(event.parameters)} parameters (${percent(event.trainable / event.parameters)})`
  const work = `${count(event.rows)} rows, ${count(event.totalSteps)} steps`
  return `${palette.strong(event.model)}: ${event.method} trains ${share}; ${work}; writes ${palette.strong(event.output)}`
}

/** Where what belongs to a step starts. */
const stepColumn = 18

function stepLine(event: StepEvent, palette: Palette): string {
  const where = `step ${event.step}/${event.totalSteps}`.padEnd(stepColumn)
  const parts = [
    `loss ${palette.strong(event.loss.toFixed(4))}`,
    `rate ${significant(event.learningRate)}`,
    `grad ${significant(event.gradNorm)}`,
    `${short(event.tokensPerSecond)} tokens/s`,
    `epoch ${event.epoch.toFixed(2)}`,
  ]
  return where + parts.join('  ')
}

/** Most wanted first: a narrow terminal cuts the end. */
function stepBar(event: StepEvent, terminal: Terminal): string {
  const share = event.totalSteps > 0 ? event.step / event.totalSteps : 1
  const facts = [
    `step ${event.step}/${event.totalSteps}`,
    `loss ${event.loss.toFixed(3)}`,
    `${duration(event.remainingSeconds)} left`,
    `${short(event.tokensPerSecond)} tokens/s`,
    bytes(event.peakMemoryBytes),
  ]
  return bar(share, facts.join('  '), terminal)
}

interface Rate {
  label: string
  /** Clock and count when this label was first seen. */
  start: number
  from: number
}

function workBar(event: ProgressEvent, rate: Rate, now: number, terminal: Terminal): string {
  const seconds = (now - rate.start) / 1000
  const perSecond = seconds > 0.5 ? (event.done - rate.from) / seconds : 0
  const shown = (n: number): string =>
    event.unit === 'bytes' ? bytes(n) : `${short(n)}${event.unit ? ` ${event.unit}` : ''}`
  const speed = perSecond > 0 ? `  ${shown(perSecond)}/s` : ''
  if (event.total === undefined) return clip(`${event.label}  ${shown(event.done)}${speed}`, terminal.width)
  const left = perSecond > 0 ? `  ${duration((event.total - event.done) / perSecond)} left` : ''
  return bar(
    event.done / event.total,
    `${event.label}  ${shown(event.done)} of ${shown(event.total)}${speed}${left}`,
    terminal,
  )
}

const eighths = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** `████▌     45 %  facts`, no wider than the terminal, so that redrawing it never leaves a line behind. */
function bar(share: number, facts: string, terminal: Terminal): string {
  const within = Math.max(0, Math.min(1, Number.isFinite(share) ? share : 0))
  const size = terminal.width >= 90 ? 24 : 12
  const filled = Math.floor(within * size * 8)
  const blocks = '█'.repeat(filled >> 3) + (filled % 8 > 0 ? (eighths[filled % 8] ?? '') : '')
  const tail = clip(`${String(Math.floor(within * 100)).padStart(4)} %  ${facts}`, terminal.width - size - 1)
  return `${terminal.err.flag(blocks.padEnd(size))}${tail}`
}

function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

function preflightLine({ secondsPerStep, peakMemoryBytes }: Extract<TrainEvent, { type: 'preflight' }>): string {
  const time = secondsPerStep < 0.995 ? `${Math.ceil(1000 * secondsPerStep)} ms` : duration(secondsPerStep)
  return `a step takes about ${time}, memory about ${bytes(peakMemoryBytes)} at its peak`
}
