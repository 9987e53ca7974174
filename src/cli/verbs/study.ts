/** @file `lowrank study` at a terminal: a table that fills while runs finish. Must not know how runs are made. */
import type { InputOf } from '../../config/verbs/index.ts'
import type { StudyEvent, StudyGroup, StudyRun } from '../../run/study/types.ts'
import { study } from '../../run/study.ts'
import { duration, percent } from '../../support/human.ts'
import { exitCodes } from '../errors.ts'
import { drive, type Face, untilUnread } from '../face.ts'
import { figure, groupTable, studySummary } from '../study-table.ts'
import type { Terminal } from '../terminal.ts'

export async function studyFace(options: InputOf<'study'>, face: Face): Promise<number | undefined> {
  const reading = untilUnread(face)
  const show = followStudy(face.terminal)
  const result = await drive(study({ ...options, signal: reading.signal }), (event) => {
    if (!face.json) show(event)
    // `done` repeats the result; a line for each step of each run is a log of its own.
    else if (event.type !== 'done' && event.type !== 'step') face.emit(event)
  }).finally(reading.release)
  face.terminal.status('')
  if (face.json) face.emit(result)
  else face.terminal.write(studySummary(result, face.terminal.out))
  return result.stopped === true ? exitCodes.stopped : undefined
}

/** Shortest time between two drawings of the table. */
const REDRAW_MS = 150

interface Shown {
  total: number
  done: number
  metric: string
  groups: readonly StudyGroup[]
  planned: number
  /** Runs that are going on: how far each is, 0 to 1. */
  running: Map<string, { label: string; share: number }>
  /** When this call began, and how many were done then. */
  since: number
  from: number
}

/** Draws the table again as runs go on; where stderr is no terminal, a line for each run that ends. */
export function followStudy(terminal: Terminal, now: () => number = Date.now): (event: StudyEvent) => void {
  const shown: Shown = {
    ...{ total: 0, done: 0, metric: '', groups: [], planned: 0 },
    ...{ running: new Map(), since: now(), from: 0 },
  }
  let drawn = Number.NEGATIVE_INFINITY
  return (event) => {
    take(shown, event, now())
    for (const line of staying(event, shown, terminal, now())) terminal.say(line)
    if (!terminal.live || (now() - drawn < REDRAW_MS && event.type === 'step')) return
    drawn = now()
    terminal.status(event.type === 'done' ? '' : picture(shown, terminal, now()))
  }
}

function take(shown: Shown, event: StudyEvent, now: number): void {
  if (event.type === 'start') {
    const { total, done, settings } = event
    Object.assign(shown, { total, done, from: done, since: now, planned: total / Math.max(1, settings.length) })
  } else if (event.type === 'begin') {
    shown.running.set(keyOf(event), { label: labelOf(event), share: 0 })
  } else if (event.type === 'step') {
    shown.running.set(keyOf(event), { label: labelOf(event), share: event.step / Math.max(1, event.totalSteps) })
  } else if (event.type === 'run') {
    shown.done = event.done
    shown.running.delete(keyOf(event.run))
  } else if (event.type === 'groups') {
    Object.assign(shown, { metric: event.metric, groups: event.groups })
  }
}

type Name = Pick<StudyRun, 'setting' | 'dataSeed' | 'initSeed'>

const keyOf = ({ setting, dataSeed, initSeed }: Name): string => `${dataSeed} ${initSeed} ${setting}`

function labelOf({ setting, dataSeed, initSeed }: Name): string {
  return dataSeed === initSeed ? `${setting} seed ${dataSeed}` : `${setting} data ${dataSeed} init ${initSeed}`
}

function staying(event: StudyEvent, shown: Shown, { err, live }: Terminal, now: number): string[] {
  if (event.type === 'notice') return [err.faint(event.message)]
  if (event.type === 'start') {
    const { settings, total, done, workers, output } = event
    const of = `${settings.length} ${settings.length === 1 ? 'setting' : 'settings'}, ${total} runs`
    const before = done > 0 ? `, ${done} of them done before` : ''
    const by = workers > 1 ? `; ${workers} at a time` : ''
    return [`${err.strong('study')}: ${of}${before}${by}; writes ${err.strong(output)}`]
  }
  if (event.type !== 'run') return []
  const { run } = event
  if (run.status === 'crashed') return [`${err.bad(`${labelOf(run)} crashed`)}: ${run.error ?? ''}`]
  // Without a table that moves, a line a run is what there is to see.
  if (live) return []
  const mark = run.failed ? `  ${err.warn('failed: no better than the commonest label')}` : ''
  return [`${labelOf(run)}  ${figure(run.value)}${mark}  ${err.faint(progressText(shown, now))}`]
}

function picture(shown: Shown, terminal: Terminal, now: number): string {
  const { groups, metric, planned, running } = shown
  const going = [...running.values()].map(({ label, share }) => `${label} ${percent(share)}`)
  const lines = [
    ...(groups.length > 0 ? groupTable(groups, { metric, planned }, terminal.err) : []),
    `${terminal.err.flag(progressText(shown, now))}${going.length > 0 ? `  ${going.join(', ')}` : ''}`,
  ]
  // A line that wraps could not be taken away again; colours take no room.
  return lines.map((line) => clip(line, terminal.width)).join('\n')
}

function progressText({ done, total, since, from, running }: Shown, now: number): string {
  const begun = [...running.values()].reduce((sum, { share }) => sum + share, 0)
  const made = done - from + begun
  const seconds = (now - since) / 1000
  const left = made > 0.05 && seconds > 1 ? `, ${duration((seconds / made) * (total - done - begun))} left` : ''
  const rate = made > 0.05 && seconds > 1 ? `, ${duration(seconds / made)} a run` : ''
  return `${done} of ${total} runs${rate}${left}`
}

function clip(line: string, width: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the codes are what is looked for
  const plain = line.replace(/\x1b\[\d+m/g, '')
  return plain.length <= width ? line : `${plain.slice(0, width - 1)}…`
}
