/** @file Failures as people and programs read them, and the exit code of each. Must not know what failed. */
import type { ErrorReport } from '../run/types.ts'
import { isLowrankError, type LowrankError } from '../support/errors.ts'
import type { Palette } from './terminal.ts'

export const exitCodes = { done: 0, failed: 1, usage: 2, stopped: 130 } as const

export function exitCode(error: unknown): number {
  if (!isLowrankError(error)) return exitCodes.failed
  return error.code === 'usage' ? exitCodes.usage : error.code === 'stopped' ? exitCodes.stopped : exitCodes.failed
}

/** One message: what is wrong, where, and the nearest right thing. A stack only when `LOWRANK_DEBUG` asks for it. */
export function errorText(error: unknown, palette: Palette, debug = false): string {
  const lines = isLowrankError(error) ? foreseen(error) : unforeseen(error)
  const [first = '', ...rest] = lines
  const text = [`${palette.bad('lowrank:')} ${first}`, ...rest.map((line) => `  ${line}`)]
  if (debug && error instanceof Error) text.push(error.stack ?? '', ...causes(error))
  return text.join('\n')
}

/** What `--json` prints. */
export function errorReport(error: unknown): ErrorReport {
  if (isLowrankError(error)) return { error: error.toJSON() }
  return { error: { code: 'internal', message: unforeseen(error).join(' ') } }
}

function foreseen(error: LowrankError): string[] {
  const lines = [error.message]
  if (error.file !== undefined && !error.message.includes(error.file)) lines.push(`in ${error.file}`)
  if (error.suggestion !== undefined)
    // One word is a name that was probably meant; a sentence is advice.
    lines.push(/\s/.test(error.suggestion) ? error.suggestion : `did you mean ${error.suggestion}?`)
  return lines
}

function unforeseen(error: unknown): string[] {
  const message = error instanceof Error ? error.message : String(error)
  return [message.split('\n')[0] ?? message, 'This is a fault of lowrank’s own; LOWRANK_DEBUG=1 shows where it arose.']
}

function causes(error: Error): string[] {
  return error.cause instanceof Error
    ? [`caused by ${error.cause.stack ?? error.cause.message}`, ...causes(error.cause)]
    : []
}
