/**
 * @file `train --dry-run`: opens and checks all that a run needs, and tells what it would do. Starts no engine and writes
 * nothing. Must not know terminals.
 */
import type { TrainOptions } from '../config/verbs/index.ts'
import { trainableOf } from './train/events.ts'
import { recipeNotes } from './train/few-sample.ts'
import { trainingBatches } from './train/material.ts'
import { openRun } from './train/open-run.ts'
import { refuseArithmetic } from './train/open-session.ts'
import { effectiveSettings } from './train/settings.ts'
import { defaultOutput, folderOf } from './train.ts'
import type { DryRunResult, Stoppable, TrainEvent } from './types.ts'

/**
 * What `train` would do with these options: rows, lengths, padding, what is trained, how many steps.
 * @param options as of `train`; `onEvent` is told of notices and of a download
 * @throws LowrankError naming the option, file, row or module that does not fit
 */
export async function dryRun(
  options: TrainOptions & Stoppable & { onEvent?: (event: TrainEvent) => void },
): Promise<DryRunResult> {
  const { signal, onEvent = () => undefined, ...given } = options
  const effective = await effectiveSettings(given)
  const settings = { ...effective.settings, output: effective.settings.output ?? defaultOutput(effective.settings) }
  refuseArithmetic(settings)
  const folder = await folderOf(settings, onEvent, signal)
  const { subject, material } = await openRun(settings, effective.given, folder, signal)
  const recipe = recipeNotes(given, effective.settings, material.held !== undefined)
  for (const message of [...recipe, ...subject.notes, ...material.notes]) onEvent({ type: 'notice', message })
  const { stepsPerEpoch } = trainingBatches(settings, material)
  const totalSteps = settings.steps ?? Math.ceil(settings.epochs * stepsPerEpoch)
  return {
    dryRun: true,
    output: settings.output,
    model: settings.model ?? settings.fromConfig ?? '',
    method: settings.method,
    trainable: trainableOf(subject),
    parameters: subject.parameters,
    totalSteps,
    data: material.report,
  }
}
