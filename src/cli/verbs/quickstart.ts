/** @file `lowrank quickstart` at a terminal: before, training, after, what to do next. Must not know how it is measured. */
import type { QuickstartOptions } from '../../config/verbs/index.ts'
import { quickstart } from '../../run/quickstart.ts'
import type { QuickstartEvent, QuickstartResult } from '../../run/types.ts'
import { bytes, duration, percent, short } from '../../support/human.ts'
import { drive, type Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import type { Palette } from '../terminal.ts'

export async function quickstartFace(options: QuickstartOptions, face: Face): Promise<undefined> {
  const { terminal } = face
  const progress = followProgress(terminal)
  const result = await drive(quickstart({ ...options, signal: face.signal }), (event) => {
    if (face.json) face.emit(event)
    else if (event.type === 'example') terminal.say(exampleLines(event, terminal.err))
    else progress.show(event)
  })
  progress.end()
  if (face.json) face.emit(result)
  else terminal.write(summary(result, terminal.out))
}

/** A row as the model answers it; an answer that goes on and on is cut. */
function exampleLines(event: Extract<QuickstartEvent, { type: 'example' }>, palette: Palette): string {
  const text = event.text.replaceAll('\n', '⏎')
  const shown = text.length > 100 ? `${text.slice(0, 99)}…` : text
  const mark = event.exact ? palette.good('✓') : palette.bad('✗')
  return `${palette.faint(`${event.stage.padEnd(7)}`)}${event.prompt}\n     ${mark} ${shown}`
}

function summary(result: QuickstartResult, palette: Palette): string {
  const { before, after, heldout } = result
  return [
    `exact match on ${heldout} orders with values never trained on: ${percent(before.exactMatch)} before, ` +
      `${palette.strong(palette.good(percent(after.exactMatch)))} after`,
    `  ${short(result.trainable)} parameters trained, adapter ${bytes(result.adapterBytes)}, ${duration(result.seconds)} in all`,
    `  in ${palette.strong(result.output)}: adapter, train.jsonl, heldout.jsonl, curves in report.html`,
    '',
    palette.heading('Next'),
    ...result.next.map((command) => `  ${palette.flag(command)}`),
    '',
  ].join('\n')
}
