/** @file Entry point of a study's worker process: makes the runs it is sent, one after another. Must not know the study. */
import { isLowrankError } from '../../support/errors.ts'
import { makeRun, type RunEvent } from './one-run.ts'
import type { FromWorker, ToWorker } from './worker.ts'

/** Steps may take milliseconds; nobody looks that often. */
const TELL_EVERY_MS = 200

const stopping = new AbortController()
let told = 0

const send = (message: FromWorker): void => void process.send?.(message)

function tell(event: RunEvent): void {
  const now = Date.now()
  if (event.type === 'step' && event.step < event.totalSteps && now - told < TELL_EVERY_MS) return
  told = now
  send({ type: 'event', event })
}

process.on('message', (message: ToWorker) => {
  if (message.type === 'stop') return stopping.abort()
  makeRun(message.run, tell, stopping.signal).then(
    (outcome) => send({ type: 'done', outcome }),
    (error: unknown) => {
      const plain = error instanceof Error ? error.message : String(error)
      send({ type: 'error', error: isLowrankError(error) ? error.toJSON() : { message: plain } })
    },
  )
})
// The study that asked is gone, or needs nothing more: what is being made here is nobody's, and an engine may be busy.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
// Ctrl-C reaches every process of a terminal; the study says when to stop.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => undefined)
