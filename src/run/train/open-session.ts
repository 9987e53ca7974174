/** @file A training session from a run's settings. Must not know folders or events. */
import type { Engine } from '../../engine/engine.ts'
import { LowrankError } from '../../support/errors.ts'
import type { PrefixRows } from '../../train/prefix-rows.ts'
import { TrainSession } from '../../train/session.ts'
import type { StepOptions } from '../../train/step-graph.ts'
import type { TrainSettings } from './settings.ts'
import type { Subject } from './subject.ts'

interface SessionParts {
  readonly engine: Engine
  readonly recompute: boolean
  /** What the frozen prefix makes of the rows; absent where there is none, or it is not kept. */
  readonly prefixRows: PrefixRows | undefined
  readonly signal: AbortSignal | undefined
}

/** @throws LowrankError `unsupported` for arithmetic that no engine trains in. */
export function refuseArithmetic({ dtype }: TrainSettings): void {
  if (dtype === 'auto' || dtype === 'f32') return
  const message = `--dtype ${dtype}: the engines train in f32, whatever the weights are stored in`
  throw new LowrankError('unsupported', message, { field: 'dtype', suggestion: 'f32' })
}

export async function openSession(
  settings: TrainSettings,
  subject: Subject,
  { engine, recompute, prefixRows, signal }: SessionParts,
): Promise<TrainSession> {
  return await TrainSession.create(subject.trained, {
    engine,
    weights: subject.weights,
    ...threadsOf(settings),
    ...sessionOptions(settings, subject),
    recompute,
    prefixRows,
    cutsPrefix: prefixRows !== undefined,
    signal,
  })
}

/** What the settings say of a step. */
export function sessionOptions(
  settings: TrainSettings,
  { trained }: Pick<Subject, 'trained'>,
): StepOptions & { dropoutSeed: number } {
  return {
    optimizer: trained.loraFa ? 'lorafa' : settings.optimizer,
    weightDecay: settings.weightDecay,
    priorDecay: settings.priorDecay,
    maxGradNorm: settings.maxGradNorm,
    accumulates: settings.gradAccumulation > 1,
    dropout: true,
    frozenDropout: settings.frozenDropout === 'on',
    dropoutSeed: settings.dataSeed ?? settings.seed,
  }
}

export function threadsOf({ threads }: TrainSettings): { threads?: number } {
  return threads === 'auto' ? {} : { threads }
}
