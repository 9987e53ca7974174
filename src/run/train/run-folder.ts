/**
 * @file The run folder: who may write into it, its settings, its log and its result. Must not know what is trained.
 * Layout: run.yaml, trainer_log.jsonl, checkpoint-N/, train_results.json, report.html, and the adapter or model.
 */
import { appendFile, readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { removeTemporaries, writeFileAtomic } from '../../support/atomic-write.ts'
import { LowrankError } from '../../support/errors.ts'
import { fileError, makeFolder, pathKind, readJson } from '../../support/files.ts'
import { isRecord } from '../../support/json.ts'
import { acquireLock, LOCK_FILE, type Lock } from '../../support/lock.ts'
import type { TrainResult } from '../types.ts'
import { RUN_FILE } from './settings.ts'

const LOG_FILE = 'trainer_log.jsonl'
const RESULT_FILE = 'train_results.json'

export class RunFolder {
  readonly path: string
  readonly #lock: Lock
  /** What was there before: a folder that this run made, or found empty, is left so where the run does not begin. */
  readonly #before: 'nothing' | 'empty' | 'files'
  #begun = false

  private constructor(path: string, lock: Lock, before: 'nothing' | 'empty' | 'files') {
    this.path = path
    this.#lock = lock
    this.#before = before
  }

  /**
   * Takes the folder for one run; changes nothing in it.
   * @throws LowrankError `usage` where it holds anything and neither `continues` nor `overwrite` is set; `locked`; `io`.
   */
  static async open(
    path: string,
    { continues, overwrite }: { continues: boolean; overwrite: boolean },
  ): Promise<RunFolder> {
    const before = await contentsOf(path)
    if (before === 'files' && !continues && !overwrite) throw occupied(path)
    await makeFolder(path)
    const lock = await acquireLock(path).catch(async (error: unknown) => {
      if (before === 'nothing') await rmdir(path).catch(() => undefined)
      throw error
    })
    const folder = new RunFolder(path, lock, before)
    try {
      await removeTemporaries(path)
    } catch (error) {
      await folder.release()
      throw error
    }
    return folder
  }

  /** From here on the folder is kept, whatever happens. */
  keep(): void {
    this.#begun = true
  }

  /** Takes away what a former run left. */
  async clear(): Promise<void> {
    for (const name of await readdir(this.path)) {
      if (name !== LOCK_FILE) await rm(join(this.path, name), { recursive: true, force: true })
    }
  }

  /** Writes run.yaml; the log and result of a former run at these settings stay. */
  async writeSettings(text: string): Promise<void> {
    await writeFileAtomic(join(this.path, RUN_FILE), text)
  }

  /** Appends a line to the log. A torn last line after a kill is cut off by `cutLog`. */
  async log(line: Readonly<Record<string, unknown>>): Promise<void> {
    const file = join(this.path, LOG_FILE)
    try {
      await appendFile(file, `${JSON.stringify(line)}\n`)
    } catch (error) {
      throw fileError(error, file, 'write')
    }
  }

  /** Keeps only the log's whole lines up to `step`: what came after the checkpoint did not happen, and no test did. */
  async cutLog(step: number): Promise<void> {
    const file = join(this.path, LOG_FILE)
    if ((await pathKind(file)) !== 'file') return
    const kept = (await readFile(file, 'utf8')).split('\n').filter((line) => stepOf(line) <= step)
    await writeFileAtomic(file, kept.map((line) => `${line}\n`).join(''))
  }

  async writeResult(result: TrainResult): Promise<void> {
    await writeFileAtomic(join(this.path, RESULT_FILE), `${JSON.stringify(result, null, 2)}\n`)
  }

  /** Removes the mark of a finished run that is going on. */
  async reopen(): Promise<void> {
    await rm(join(this.path, RESULT_FILE), { force: true })
  }

  /** Gives the folder back; one in which no run has begun is as it was. */
  async release(): Promise<void> {
    const untouched = !this.#begun && this.#before !== 'files'
    if (untouched) await rm(join(this.path, RUN_FILE), { force: true })
    await this.#lock.release()
    // Fails where somebody else has put something in, and rightly so.
    if (untouched && this.#before === 'nothing') await rmdir(this.path).catch(() => undefined)
  }
}

/** The result of a run that has finished, or undefined. */
export async function finishedResult(path: string): Promise<TrainResult | undefined> {
  const file = join(path, RESULT_FILE)
  if ((await pathKind(file)) !== 'file') return undefined
  const json = await readJson(file)
  return isTrainResult(json) ? json : undefined
}

const RESULT_NUMBERS = ['steps', 'loss', 'tokensPerSecond', 'peakMemoryBytes', 'trainable', 'seconds']

function isTrainResult(json: unknown): json is TrainResult {
  return isRecord(json) && typeof json.output === 'string' && RESULT_NUMBERS.every((n) => typeof json[n] === 'number')
}

/** Step of a log line; infinite for one that is torn, or that says what an end came to. */
function stepOf(line: string): number {
  if (line === '') return Number.POSITIVE_INFINITY
  try {
    const json: unknown = JSON.parse(line)
    return isRecord(json) && typeof json.step === 'number' && json.test_loss === undefined
      ? json.step
      : Number.POSITIVE_INFINITY
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** @throws LowrankError `usage` where `path` is a file. */
async function contentsOf(path: string): Promise<'nothing' | 'empty' | 'files'> {
  const kind = await pathKind(path)
  if (kind === undefined) return 'nothing'
  if (kind === 'file')
    throw new LowrankError('usage', `${path} is a file: the output must be a folder`, { file: path, field: 'output' })
  const names = await readdir(path).catch((error: unknown) => {
    throw fileError(error, path, 'read')
  })
  // A lock alone was left by a run that died before it began, or is held by one that is about to.
  return names.every((name) => name === LOCK_FILE) ? 'empty' : 'files'
}

function occupied(path: string): LowrankError {
  return new LowrankError('usage', `${path} holds files already; nothing was changed`, {
    file: path,
    field: 'output',
    suggestion: 'continue its run with --resume, replace it with --overwrite, or name another folder',
  })
}
