/** @file Runs one measurement in a process of its own, whose peak memory is then that of the measurement alone. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { LowrankError } from '../../support/errors.ts'
import type { Measured, MeasureSettings } from './measure.ts'

interface Results {
  products: { readonly gflops: number }
  training: Measured
}

/** The child is started from JavaScript: beside this file once compiled, in dist/ when this file runs as TypeScript. */
function childFile(): URL {
  const source = import.meta.url.endsWith('.ts')
  return new URL(source ? '../../../dist/run/bench/child.js' : './child.js', import.meta.url)
}

/** @throws LowrankError `engine` with the child's own words, `stopped` by its signal */
export async function inChild<T extends keyof Results>(
  task: T,
  settings: MeasureSettings,
  signal: AbortSignal | undefined,
): Promise<Results[T]> {
  const child = fork(fileURLToPath(childFile()), [task, JSON.stringify(settings)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    ...(signal ? { signal } : {}),
  })
  let [result, said]: [Results[T] | undefined, string] = [undefined, '']
  child.on('message', (message) => {
    result = message as Results[T]
  })
  child.stderr?.on('data', (text: Buffer) => {
    said += text.toString()
  })
  await new Promise<void>((resolve, reject) => {
    child.once('error', (error) => reject(signal?.aborted ? stopped() : error))
    child.once('close', () => resolve())
  })
  if (result !== undefined) return result
  const line = said
    .trim()
    .split('\n')
    .findLast((text) => /Error/.test(text))
  throw new LowrankError('engine', `measuring ${task} failed: ${line ?? said.slice(-300)}`)
}

export function stopped(): LowrankError {
  return new LowrankError('stopped', 'stopped while measuring')
}
