/**
 * @file The training loop: a generator of typed events over a compiled step. Nothing is dropped: a slow reader slows the
 * run, and leaving early (a break, an aborted signal) saves first.
 * Must not know terminals, configs or file formats: saving is handed in.
 */
import { performance } from 'node:perf_hooks'
import type { Batches, StepData } from '../data/batches.ts'
import { LowrankError } from '../support/errors.ts'
import { isBetter } from './best.ts'
import type { Progress } from './checkpoint.ts'
import type { Metrics } from './metrics.ts'
import { type ScheduleName, scheduleFactor } from './schedules.ts'
import type { StepOutcome, TrainSession } from './session.ts'

export interface LoopSettings {
  readonly totalSteps: number
  readonly learningRate: number
  readonly schedule: ScheduleName
  readonly warmupSteps: number
  readonly logEvery: number
  /** Steps between evaluations; 0 at the end of each epoch. */
  readonly evalEvery: number
  readonly saveEvery: number
}

export interface LoopParts {
  readonly session: TrainSession
  readonly batches: Batches
  readonly settings: LoopSettings
  /** Where the run stands; the loop keeps it current. */
  readonly progress: Progress
  /** Loss on the evaluation rows with the present weights; absent where there are none. */
  readonly evaluate?: (() => Promise<{ loss: number; tokens: number; metrics: Metrics }>) | undefined
  /** Writes a checkpoint of the present state and returns its path. */
  readonly save: () => Promise<string>
  /** Each evaluation better than all before is saved at once. */
  readonly savesBest?: boolean
  /** `file:line` of a row by its place in the data. */
  readonly sourceOf?: (place: number) => string | undefined
  readonly signal?: AbortSignal | undefined
}

export type LoopEvent =
  | { type: 'step'; step: number; epoch: number; outcome: StepOutcome; rate: number; line: LogLine | undefined }
  | { type: 'eval'; step: number; loss: number; tokens: number; metrics: Metrics; best: boolean }
  | { type: 'checkpoint'; step: number; path: string }

/** What a line of the log says of the steps since the last one. */
export interface LogLine {
  readonly loss: number
  readonly tokensPerSecond: number
}

/** Trains until `totalSteps`; returns whether it was stopped before. */
export async function* trainLoop(parts: LoopParts): AsyncGenerator<LoopEvent, { stopped: boolean }> {
  const { progress, settings, signal } = parts
  let savedAt = progress.step
  try {
    for (;;) {
      // At the top, because a reader may have left between a step and what was due after it.
      let isBest = false
      if (parts.evaluate && isEvaluationDue(parts)) {
        const event = await evaluation(parts, parts.evaluate)
        yield event
        isBest = event.best
      }
      if ((isBest && parts.savesBest) || (savedAt !== progress.step && isDue(parts, settings.saveEvery))) {
        savedAt = progress.step
        yield { type: 'checkpoint', step: progress.step, path: await parts.save() }
      }
      if (progress.step >= settings.totalSteps || signal?.aborted) break
      const { outcome, rate } = await oneStep(parts)
      const line = advance(parts, outcome)
      yield { type: 'step', step: progress.step, epoch: epochAfter(parts), outcome, rate, line }
    }
    const stopped = progress.step < settings.totalSteps
    if (stopped && savedAt !== progress.step) {
      savedAt = progress.step
      yield { type: 'checkpoint', step: progress.step, path: await parts.save() }
    }
    return { stopped }
  } catch (error) {
    // What broke the run is in its state too: the last good checkpoint stays the newest.
    savedAt = progress.step
    throw error
  } finally {
    // A reader that breaks out ends as Ctrl-C does.
    if (savedAt !== progress.step) await parts.save()
  }
}

async function oneStep({
  session,
  batches,
  settings,
  progress,
  sourceOf,
}: LoopParts): Promise<{ outcome: StepOutcome; rate: number }> {
  const started = performance.now()
  const data = batches.next()
  const rate =
    settings.learningRate * scheduleFactor(settings.schedule, progress.step, settings.warmupSteps, settings.totalSteps)
  const outcome = await session.step(data.batches, progress.step, rate)
  if (outcome.broken || !Number.isFinite(outcome.gradNorm)) throw notFinite(data, outcome, progress.step + 1, sourceOf)
  const seconds = (performance.now() - started) / 1000
  progress.seconds += seconds
  progress.window.seconds += seconds
  return { outcome, rate }
}

/** Counts a finished step; returns a line for the log where one is due. */
function advance({ progress, settings, batches }: LoopParts, outcome: StepOutcome): LogLine | undefined {
  const { window } = progress
  progress.step++
  progress.cursor = batches.cursor
  progress.tokens += outcome.tokens
  window.loss += outcome.loss * outcome.labelled
  window.labelled += outcome.labelled
  window.tokens += outcome.tokens
  if (progress.step % settings.logEvery !== 0 && progress.step !== settings.totalSteps) return undefined
  const line = { loss: window.loss / window.labelled, tokensPerSecond: window.tokens / window.seconds }
  progress.lastLoss = line.loss
  progress.window = { loss: 0, labelled: 0, tokens: 0, seconds: 0 }
  return line
}

async function evaluation(
  parts: LoopParts,
  evaluate: NonNullable<LoopParts['evaluate']>,
): Promise<Extract<LoopEvent, { type: 'eval' }>> {
  const { progress } = parts
  const { loss, tokens, metrics } = await evaluate()
  progress.evaluation = { loss, step: progress.step, metrics }
  const best = isBetter(progress.evaluation, progress.best)
  if (best) progress.best = progress.evaluation
  return { type: 'eval', step: progress.step, loss, tokens, metrics, best }
}

function isEvaluationDue(parts: LoopParts): boolean {
  const { progress, settings } = parts
  return progress.evaluation?.step !== progress.step && isDue(parts, settings.evalEvery)
}

/** Whether something that happens every so many steps (0: each epoch) and at the end is due after the last step. */
function isDue({ progress, settings }: LoopParts, every: number): boolean {
  if (progress.step === 0) return false
  const regular = every === 0 ? progress.cursor.index === 0 : progress.step % every === 0
  return regular || progress.step === settings.totalSteps
}

function epochAfter({ progress, batches }: LoopParts): number {
  return progress.step / batches.stepsPerEpoch
}

/** Names the row whose loss is not a number; where only the gradient broke, the first row of the step. */
function notFinite(
  data: StepData,
  { broken, gradNorm }: StepOutcome,
  step: number,
  sourceOf: LoopParts['sourceOf'],
): LowrankError {
  const batch = data.batches[broken?.batch ?? 0]
  const row = batch?.labelRows.data[broken?.label ?? 0] ?? 0n
  const place = batch?.places.data[Number(row)] ?? 0
  const source = sourceOf?.(place)
  const what = broken ? 'the loss is not a number' : `the gradient norm is ${gradNorm}`
  return new LowrankError(
    'numeric',
    `step ${step}: ${what}, at row ${place + 1} of the data; nothing after the last checkpoint is kept`,
    {
      file: source,
      field: 'loss',
      suggestion: 'lower the learning rate, or look at that row',
    },
  )
}
