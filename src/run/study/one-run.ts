/**
 * @file One run of a study: trains in its own folder and reads what came of it from events and log. Must not know other
 * runs, nor whether it has a process of its own.
 */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { TrainOptions } from '../../config/verbs/index.ts'
import type { DataReport } from '../../data/data-report.ts'
import { isLowrankError } from '../../support/errors.ts'
import { dryRun } from '../dry-run.ts'
import { type LoggedEval, readTrainerLog } from '../report/trainer-log.ts'
import { train } from '../train.ts'
import type { TrainEvent, TrainResult } from '../types.ts'
import { constantAnswer } from './constant-answer.ts'
import type { Figures, StudyRun } from './types.ts'

/** What a run leaves, before it is known which figure is compared. */
export type Outcome = Pick<StudyRun, 'status' | 'figures' | 'constant' | 'evaluations' | 'steps' | 'seconds' | 'error'>

/** What is told while it is going on. */
export type RunEvent =
  | { type: 'step'; step: number; totalSteps: number }
  | { type: 'eval'; step: number; figures: Figures }
  | { type: 'notice'; message: string }

export interface OneRun {
  /** Folder of the run. */
  readonly output: string
  readonly options: TrainOptions
}

/** Checkpoints of short runs cost more than beginning them anew. */
const SAVE_EVERY = 1000
/** A killed study's worker notices that it is alone within moments. */
const LOCK_TRIES = 40
const LOCK_PAUSE_MS = 250

/** Options as the run gets them: what nobody asked for and a study has no use for is off. */
export function runOptions({ output, options }: OneRun): TrainOptions {
  return { saveEvery: SAVE_EVERY, keep: 1, samples: 0, ...options, output, resume: true }
}

/**
 * Trains, or goes on where an earlier call was killed. Undefined where it was stopped after saving.
 * @throws LowrankError whatever train throws, but `numeric`: that is an outcome
 */
export async function makeRun(
  run: OneRun,
  emit: (event: RunEvent) => void,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await trainOnce(run, emit, signal)
    } catch (error) {
      if (!isLowrankError(error)) throw error
      if (error.code === 'stopped') return undefined
      if (error.code === 'numeric') return await crashed(run, error.message)
      if (error.code !== 'locked' || attempt === LOCK_TRIES) throw error
      await pause(LOCK_PAUSE_MS)
    }
  }
}

async function trainOnce(
  run: OneRun,
  emit: (event: RunEvent) => void,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  let labels: Record<string, number> | undefined
  let [seen, stepping] = [false, false]
  const onEvent = (event: TrainEvent): void => {
    if (event.type === 'data') [labels, seen] = [labelsThatCount(event.report), true]
    if (event.type === 'step') stepping = true
    const told = toldOf(event)
    // What is said at the end of a run is of that run alone, and stands in its record.
    if (told && !(stepping && told.type === 'notice')) emit(told)
  }
  const result = await drained(train({ ...runOptions(run), signal }), onEvent)
  if (result.stopped === true) return undefined
  // A run that had finished before it was killed tells nothing of its rows.
  if (!seen) labels = labelsThatCount((await dryRun(run.options)).data)
  const { evals } = await readTrainerLog(join(run.output, 'trainer_log.jsonl'))
  const figures = figuresThatCount(result)
  return {
    status: 'done',
    figures,
    constant: constantAnswer(labels, figures),
    evaluations: evals.map((line) => ({ step: line.step, figures: figuresOf(line) })),
    steps: result.steps,
    seconds: result.seconds,
  }
}

/** A run whose numbers stopped being numbers: its curve up to there is kept. */
async function crashed({ output }: OneRun, error: string): Promise<Outcome> {
  const { evals, steps } = await readTrainerLog(join(output, 'trainer_log.jsonl'))
  const last = steps.at(-1)
  return {
    status: 'crashed',
    figures: {},
    constant: {},
    evaluations: evals.map((line) => ({ step: line.step, figures: figuresOf(line) })),
    steps: last?.step ?? 0,
    seconds: last?.elapsedSeconds ?? 0,
    error,
  }
}

function toldOf(event: TrainEvent): RunEvent | undefined {
  if (event.type === 'step') return { type: 'step', step: event.step, totalSteps: event.totalSteps }
  if (event.type === 'eval')
    return { type: 'eval', step: event.step, figures: { loss: event.evalLoss, ...event.metrics } }
  return event.type === 'notice' ? event : undefined
}

/** Of the weights that are the result: on the test rows where there are any, else on those held out. */
function figuresThatCount({ evalLoss, evalMetrics, testLoss, testMetrics }: TrainResult): Figures {
  if (testLoss !== undefined) return { loss: testLoss, ...testMetrics }
  return evalLoss === undefined ? {} : { loss: evalLoss, ...evalMetrics }
}

function labelsThatCount({ testRows, testLabels, heldLabels }: DataReport): Record<string, number> | undefined {
  return testRows === undefined ? heldLabels : testLabels
}

function figuresOf({ evalLoss, metrics }: LoggedEval): Figures {
  return { loss: evalLoss, ...metrics }
}

async function drained<E, R>(events: AsyncGenerator<E, R>, onEvent: (event: E) => void): Promise<R> {
  for (;;) {
    const next = await events.next()
    if (next.done) return next.value
    onEvent(next.value)
  }
}
