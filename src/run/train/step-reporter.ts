/** @file Step events with rates, time left and memory, and the lines of trainer_log.jsonl. Must not know the loop. */
import { performance } from 'node:perf_hooks'
import { peakMemoryBytes } from '../../support/peak-memory.ts'
import type { Progress } from '../../train/checkpoint.ts'
import type { LoopEvent } from '../../train/loop.ts'
import type { StepEvent, TrainEvent } from '../types.ts'

/** Turns the loop's steps into events; remembers how fast this process has been. */
export class StepReporter {
  readonly #progress: Progress
  readonly #totalSteps: number
  readonly #firstStep: number
  readonly #started = performance.now()
  #rate = 0

  constructor(progress: Progress, totalSteps: number) {
    this.#progress = progress
    this.#totalSteps = totalSteps
    this.#firstStep = progress.step
  }

  step({ step, epoch, outcome, rate, line }: Extract<LoopEvent, { type: 'step' }>): StepEvent {
    const { tokens, seconds, lastLoss, window } = this.#progress
    this.#rate = line?.tokensPerSecond ?? (window.tokens > 0 ? window.tokens / window.seconds : this.#rate)
    const perStep = (performance.now() - this.#started) / 1000 / Math.max(1, step - this.#firstStep)
    return {
      type: 'step',
      step,
      totalSteps: this.#totalSteps,
      epoch,
      loss: line ? lastLoss : outcome.loss,
      learningRate: rate,
      gradNorm: outcome.gradNorm,
      tokens,
      tokensPerSecond: this.#rate,
      elapsedSeconds: seconds,
      remainingSeconds: perStep * (this.#totalSteps - step),
      peakMemoryBytes: this.peakMemory(),
      logged: line !== undefined,
    }
  }

  /** Most memory this process has held, engine threads included. */
  peakMemory(): number {
    return peakMemoryBytes()
  }
}

/** The line an event writes to trainer_log.jsonl, in the contract's spelling. */
export function stepLine(event: TrainEvent): Record<string, unknown> | undefined {
  if (event.type === 'eval')
    return { step: event.step, eval_loss: event.evalLoss, eval_tokens: event.evalTokens, ...event.metrics }
  if (event.type === 'test') {
    const named = Object.entries(event.metrics).map(([name, value]) => [`test_${name}`, value])
    const { step, testLoss, testTokens } = event
    return { step, test_loss: testLoss, test_tokens: testTokens, ...Object.fromEntries(named) }
  }
  if (event.type !== 'step' || !event.logged) return undefined
  return {
    step: event.step,
    total_steps: event.totalSteps,
    epoch: event.epoch,
    loss: event.loss,
    learning_rate: event.learningRate,
    grad_norm: event.gradNorm,
    tokens: event.tokens,
    tokens_per_second: event.tokensPerSecond,
    elapsed_seconds: event.elapsedSeconds,
    remaining_seconds: event.remainingSeconds,
    peak_memory_bytes: event.peakMemoryBytes,
  }
}
