/**
 * @file What a verb is given to talk with: a terminal, whether programs read, and a signal that Ctrl-C aborts.
 * Must not know verbs.
 */
import { LowrankError } from '../support/errors.ts'
import type { Terminal } from './terminal.ts'

export interface Face {
  readonly terminal: Terminal
  /** Programs read: stdout is JSON only. */
  readonly json: boolean
  readonly signal: AbortSignal
  /** Prints an object as one line of JSON on stdout. */
  emit(value: unknown): void
}

export function openFace(terminal: Terminal, json: boolean, signal: AbortSignal): Face {
  return { terminal, json, signal, emit: (value) => terminal.write(`${JSON.stringify(value)}\n`) }
}

/** Aborts as `face.signal` does, and when nobody reads stdout or stderr any more: for work that saves before it ends. */
export function untilUnread({ signal }: Face): { signal: AbortSignal; release(): void } {
  const controller = new AbortController()
  const streams = [process.stdout, process.stderr]
  const onError = (): void => controller.abort(new LowrankError('stopped', 'nobody reads the output any more'))
  for (const stream of streams) stream.on('error', onError)
  const release = (): void => {
    for (const stream of streams) stream.off('error', onError)
  }
  return { signal: AbortSignal.any([signal, controller.signal]), release }
}

/** Passes every event on and returns the generator's result. */
export async function drive<E, R>(events: AsyncGenerator<E, R>, onEvent: (event: E) => void): Promise<R> {
  for (;;) {
    const next = await events.next()
    if (next.done) return next.value
    onEvent(next.value)
  }
}

/**
 * Aborts on the first Ctrl-C (or SIGTERM), so that the work saves and ends; the second one ends the process as if
 * nobody had listened. `release` stops listening.
 */
export function watchInterrupts(terminal: Terminal): { signal: AbortSignal; release(): void } {
  const controller = new AbortController()
  const signals = ['SIGINT', 'SIGTERM'] as const
  const release = (): void => {
    for (const name of signals) process.off(name, onSignal)
  }
  function onSignal(name: NodeJS.Signals): void {
    if (controller.signal.aborted) {
      release()
      process.kill(process.pid, name)
      return
    }
    terminal.say('stopping, after saving what is done; once more ends at once')
    controller.abort(new LowrankError('stopped', 'stopped'))
  }
  for (const name of signals) process.on(name, onSignal)
  return { signal: controller.signal, release }
}
