/** @file Events of a run that need nothing but its parts. Must not know the loop's order. */
import { LowrankError } from '../../support/errors.ts'
import type { Checkpoint } from '../../train/checkpoint.ts'
import type { LoopEvent } from '../../train/loop.ts'
import type { TrainEvent, TrainResult } from '../types.ts'
import type { Material } from './material.ts'
import type { Effective, TrainSettings } from './settings.ts'
import type { StepReporter } from './step-reporter.ts'
import type { Subject } from './subject.ts'

/** A run with everything it needs, checked. */
export interface Run {
  readonly settings: TrainSettings
  readonly effective: Effective
  readonly subject: Subject
  readonly material: Material
  readonly finished: TrainResult | undefined
  readonly signal: AbortSignal | undefined
}

export function startEvent({ settings, subject, material }: Run, output: string, totalSteps: number): TrainEvent {
  return {
    type: 'start',
    output,
    model: settings.model ?? settings.fromConfig ?? '',
    method: settings.method,
    trainable: trainableOf(subject),
    parameters: subject.parameters,
    totalSteps,
    rows: material.train.length,
    warnings: [],
  }
}

/** Numbers that training changes. */
export function trainableOf(subject: Subject): number {
  return subject.trained.groups.reduce((sum, group) => sum + group.size, 0)
}

export function resumeEvent(checkpoint: Checkpoint | undefined): TrainEvent {
  if (!checkpoint) return { type: 'resume', step: 0, message: 'there is no checkpoint yet: starting at step 0' }
  const { step } = checkpoint.progress
  return { type: 'resume', step, message: `going on after step ${step}, from ${checkpoint.path}` }
}

/** A finished run that is resumed: said, and left alone. */
export async function* unchanged(result: TrainResult, output: string): AsyncGenerator<TrainEvent, TrainResult> {
  yield { type: 'notice', message: `the run in ${output} is finished (${result.steps} steps); nothing was changed` }
  yield { type: 'done', result }
  return result
}

/** The error for a checkpoint that does not belong to these settings and rows. */
export function changed({ path }: Checkpoint): LowrankError {
  return new LowrankError('usage', `${path} was made with other settings or other rows than those given now`, {
    file: path,
    field: 'resume',
    suggestion: 'restore the data as it was, or train into another folder',
  })
}

export function eventOf(event: LoopEvent, reporter: StepReporter): TrainEvent {
  if (event.type === 'step') return reporter.step(event)
  if (event.type === 'eval') {
    const { step, loss, tokens, metrics } = event
    return { type: 'eval', step, evalLoss: loss, evalTokens: tokens, metrics }
  }
  return event
}
