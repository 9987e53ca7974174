/** @file Progress and stopping of work that goes module by module. Must not know verbs. */
import { LowrankError } from '../support/errors.ts'
import type { Watched } from './evaluate.ts'

/** Told before each module, and at the end. @throws LowrankError `stopped` */
export function moduleSteps(label: string, { signal, onProgress }: Watched): (done: number, total: number) => void {
  return (done, total) => {
    if (signal?.aborted === true) throw new LowrankError('stopped', `${label} was stopped`)
    onProgress?.({ type: 'progress', label, done, total, unit: 'modules' })
  }
}

/** A turn of the event loop, so that Ctrl-C is heard between two long computations. */
export async function breathe(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve))
}
