/**
 * @file Who makes the runs: this process itself, or a worker process that is sent one run after another.
 * Must not know which runs there are.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, type ErrorDetails, LowrankError } from '../../support/errors.ts'
import { makeRun, type OneRun, type Outcome, type RunEvent } from './one-run.ts'

export interface Worker {
  /** Makes one run; undefined where it was stopped after saving. */
  run(run: OneRun, emit: (event: RunEvent) => void, signal: AbortSignal): Promise<Outcome | undefined>
  end(): Promise<void>
}

export type ToWorker = { type: 'run'; run: OneRun } | { type: 'stop' }
export type FromWorker =
  | { type: 'event'; event: RunEvent }
  | { type: 'done'; outcome: Outcome | undefined }
  | { type: 'error'; error: { code?: ErrorCode; message: string } & ErrorDetails }

/** Runs in this process, so that what one has computed of the base is there for the next. */
export const here: Worker = { run: makeRun, end: async () => undefined }

/** The child is started from JavaScript: beside this file once compiled, in dist/ when this file runs as TypeScript. */
function childFile(): string {
  const source = import.meta.url.endsWith('.ts')
  return fileURLToPath(new URL(source ? '../../../dist/run/study/child.js' : './child.js', import.meta.url))
}

/** A process of its own, started with its first run. */
export function workerProcess(): Worker {
  let child: ChildProcess | undefined
  return {
    async run(run, emit, signal) {
      child ??= fork(childFile(), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' })
      return await ask(child, run, emit, signal)
    },
    async end() {
      if (child?.connected) child.disconnect()
    },
  }
}

async function ask(
  child: ChildProcess,
  run: OneRun,
  emit: (event: RunEvent) => void,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const send = (message: ToWorker): void => void child.send(message)
  const onAbort = (): void => send({ type: 'stop' })
  let said = ''
  const onText = (text: Buffer): void => {
    said = (said + text.toString()).slice(-2000)
  }
  child.stderr?.on('data', onText)
  let [onMessage, onClose, onError]: [(message: FromWorker) => void, () => void, (error: Error) => void] = [
    () => undefined,
    () => undefined,
    () => undefined,
  ]
  try {
    return await new Promise<Outcome | undefined>((resolve, reject) => {
      onMessage = (message) => {
        if (message.type === 'event') return emit(message.event)
        if (message.type === 'done') return resolve(message.outcome)
        const { code, message: text, ...details } = message.error
        reject(code ? new LowrankError(code, text, details) : new Error(text))
      }
      onClose = () => reject(new LowrankError('engine', `a worker process of the study ended: ${lastLine(said)}`))
      child.on('message', onMessage)
      child.once('close', onClose)
      onError = reject
      child.once('error', onError)
      signal.addEventListener('abort', onAbort, { once: true })
      send({ type: 'run', run })
      if (signal.aborted) onAbort()
    })
  } finally {
    child.off('message', onMessage)
    child.off('close', onClose)
    child.off('error', onError)
    child.stderr?.off('data', onText)
    signal.removeEventListener('abort', onAbort)
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) || 'it was killed'
}
