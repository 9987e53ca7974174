/**
 * @file The one error type users meet: data first, text rendered from it by the faces.
 * Must not know what raises it.
 */

/** What went wrong, coarse enough to act on. `usage` exits 2, everything else exits 1. */
export type ErrorCode =
  | 'usage' // a flag, option or call that cannot be meant
  | 'config' // a model or adapter config with an impossible or unsupported value
  | 'format' // a file that is not what it claims to be: permanent, retrying does not help
  | 'data' // a training or evaluation row that does not fit
  | 'missing' // a file, folder, model or module that is not there
  | 'io' // the operating system refused: disk full, read-only, permission
  | 'network' // a download failed
  | 'locked' // another process is writing here
  | 'unsupported' // understood, but not built
  | 'engine' // an engine cannot compile or run
  | 'numeric' // NaN or infinity where a number is needed
  | 'stopped' // aborted by the caller

export interface ErrorDetails {
  /** File or folder the error is about, with `:line` for rows. */
  file?: string | undefined
  /** Config field, flag, tensor or module name. */
  field?: string | undefined
  /** Nearest valid name, or what to do next. */
  suggestion?: string | undefined
  cause?: unknown
}

/** Every failure lowrank foresees. `message` is one sentence that says what was expected. */
export class LowrankError extends Error {
  override readonly name = 'LowrankError'
  readonly code: ErrorCode
  readonly file: string | undefined
  readonly field: string | undefined
  readonly suggestion: string | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.file = details.file
    this.field = details.field
    this.suggestion = details.suggestion
  }

  /** The shape `--json` prints. */
  toJSON(): { code: ErrorCode; message: string; file?: string; field?: string; suggestion?: string } {
    return {
      code: this.code,
      message: this.message,
      ...(this.file === undefined ? {} : { file: this.file }),
      ...(this.field === undefined ? {} : { field: this.field }),
      ...(this.suggestion === undefined ? {} : { suggestion: this.suggestion }),
    }
  }
}

export function isLowrankError(error: unknown): error is LowrankError {
  return error instanceof LowrankError
}

/** A broken invariant of ours, not of the user's. Carries the word `internal` so that a report is recognised. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`)
}
