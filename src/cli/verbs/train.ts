/** @file `lowrank train` at a terminal. Must not know how training works. */
import type { TrainOptions } from '../../config/verbs/index.ts'
import { dryRun } from '../../run/dry-run.ts'
import { train } from '../../run/train.ts'
import type { TrainResult } from '../../run/types.ts'
import { bytes, count, duration, percent, short } from '../../support/human.ts'
import { dataLines } from '../data-lines.ts'
import { exitCodes } from '../errors.ts'
import { drive, type Face, untilUnread } from '../face.ts'
import { followProgress } from '../progress.ts'
import type { Palette } from '../terminal.ts'

export async function trainFace(options: TrainOptions, face: Face): Promise<number | undefined> {
  if (options.dryRun === true) return void (await dryRunFace(options, face))
  const progress = followProgress(face.terminal)
  const reading = untilUnread(face)
  const result = await drive(train({ ...options, signal: reading.signal }), (event) => {
    // `done` repeats the result, which is the last line by itself.
    if (!face.json) progress.show(event)
    else if (event.type !== 'done') face.emit(event)
  }).finally(reading.release)
  progress.end()
  if (face.json) face.emit(result)
  else face.terminal.write(trainSummary(result, face.terminal.out))
  return result.stopped === true ? exitCodes.stopped : undefined
}

/** Says what a run would do; the rows are the result, so they go to stdout. */
async function dryRunFace({ dryRun: _, ...options }: TrainOptions, face: Face): Promise<void> {
  const progress = followProgress(face.terminal)
  const onEvent = face.json ? face.emit : progress.show
  const result = await dryRun({ ...options, signal: face.signal, onEvent })
  progress.end()
  if (face.json) return face.emit(result)
  const { out, width } = face.terminal
  const { model, method, trainable, parameters, totalSteps, output } = result
  face.terminal.write(
    `${[
      `${out.strong(model)}: ${method} would train ${short(trainable)} of ${short(parameters)} parameters (${percent(trainable / parameters)})`,
      `  in ${count(totalSteps)} steps and write ${output}; nothing was written`,
      ...dataLines(result.data, out, width),
    ].join('\n')}\n`,
  )
}

/** What a finished run leaves on the screen. */
export function trainSummary(result: TrainResult, palette: Palette): string {
  const evaluated = result.evalLoss === undefined ? '' : `, eval loss ${result.evalLoss.toFixed(4)}`
  const tested = result.testLoss === undefined ? '' : `, test loss ${result.testLoss.toFixed(4)}`
  const lines = [
    `${palette.strong(result.output)}  loss ${result.loss.toFixed(4)}${evaluated}${tested}`,
    `  ${count(result.steps)} steps in ${duration(result.seconds)}, ${short(result.tokensPerSecond)} tokens/s, ` +
      `peak ${bytes(result.peakMemoryBytes)}, ${short(result.trainable)} parameters trained`,
  ]
  if (result.stopped === true)
    lines.push(`  stopped; go on with ${palette.flag(`lowrank train --resume --output ${result.output}`)}`)
  else lines.push(`  curves and numbers: ${result.output}/report.html`)
  return `${lines.join('\n')}\n`
}
