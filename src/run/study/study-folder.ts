/**
 * @file The folder of a study: who may write into it, what it is a study of, and a file for each finished run.
 * Must not know how runs are made. Layout: plan.json, runs/SETTING/SEED/ (a run folder), runs/SETTING/SEED.json (its record,
 * written whole or not at all), study.json, study.html.
 */
import { readdir, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { removeTemporaries, writeFileAtomic } from '../../support/atomic-write.ts'
import { isLowrankError, LowrankError } from '../../support/errors.ts'
import { fileError, makeFolder, pathKind, readJson } from '../../support/files.ts'
import { isRecord } from '../../support/json.ts'
import { acquireLock, LOCK_FILE, type Lock } from '../../support/lock.ts'
import { renderStudy } from './page.ts'
import type { PlannedRun } from './plan.ts'
import type { Figures, StudyResult, StudyRun } from './types.ts'

export const PLAN_FILE = 'plan.json'
export const STUDY_FILE = 'study.json'

/** What a finished run keeps unless all is kept: its log, settings, result and page. */
const KEPT: ReadonlySet<string> = new Set(['trainer_log.jsonl', 'train_results.json', 'run.yaml', 'report.html'])

export class StudyFolder {
  readonly path: string
  readonly #lock: Lock
  readonly #made: boolean
  #begun = false

  private constructor(path: string, lock: Lock, made: boolean) {
    this.path = path
    this.#lock = lock
    this.#made = made
  }

  /** Takes the folder for one study. @throws LowrankError `locked`, `io`; `usage` where it may not be written into. */
  static async open(path: string, resume: boolean): Promise<StudyFolder> {
    await refuseOthers(path, resume)
    const made = (await pathKind(path)) === undefined
    await makeFolder(path)
    return new StudyFolder(path, await acquireLock(path), made)
  }

  /** What the folder is a study of so far; undefined where nothing has begun. */
  async plan(): Promise<unknown> {
    const file = join(this.path, PLAN_FILE)
    return (await pathKind(file)) === 'file' ? await readJson(file) : undefined
  }

  /** From here on the folder is kept. */
  async begin(plan: unknown): Promise<void> {
    this.#begun = true
    await removeTemporaries(this.path)
    await writeFileAtomic(join(this.path, PLAN_FILE), `${JSON.stringify(plan, null, 2)}\n`)
  }

  /** The record of a run that is finished. @throws LowrankError `format` where it was tampered with */
  async read(run: PlannedRun): Promise<StudyRun | undefined> {
    const file = this.#record(run)
    if ((await pathKind(file)) !== 'file') return undefined
    const json = await readJson(file).catch(asNoRecord)
    if (!isStudyRun(json) || json.setting !== run.setting)
      throw new LowrankError('format', `${file} is no record of a run of "${run.setting}"`, {
        file,
        suggestion: 'delete it, and the run is made again',
      })
    return json
  }

  /** Makes a run count, once and for all. */
  async write(run: PlannedRun, record: StudyRun): Promise<void> {
    const file = this.#record(run)
    await makeFolder(dirname(file))
    await writeFileAtomic(file, `${JSON.stringify(record)}\n`)
  }

  /** Takes away what a finished run needs no more: weights and checkpoints. */
  async prune(run: PlannedRun): Promise<void> {
    const folder = join(this.path, run.folder)
    if ((await pathKind(folder)) !== 'folder') return
    for (const name of await readdir(folder))
      if (!KEPT.has(name)) await rm(join(folder, name), { recursive: true, force: true })
  }

  async writeResult(result: StudyResult): Promise<void> {
    await writeFileAtomic(join(this.path, STUDY_FILE), `${JSON.stringify(result, null, 2)}\n`)
    await writeFileAtomic(join(this.path, 'study.html'), renderStudy(result, basename(resolve(this.path))))
  }

  /** That the study has taken so far, as it says itself. */
  async seconds(): Promise<number> {
    const json = await readJson(join(this.path, STUDY_FILE)).catch(() => undefined)
    const seconds = isRecord(json) ? json.seconds : undefined
    return typeof seconds === 'number' && seconds > 0 ? seconds : 0
  }

  async release(): Promise<void> {
    await this.#lock.release()
    if (!this.#begun && this.#made) await rmdir(this.path).catch(() => undefined)
  }

  #record({ folder }: PlannedRun): string {
    return join(this.path, `${folder}.json`)
  }
}

/** @throws LowrankError `usage` for a folder that holds anything else, or a study that nobody asked to go on with. */
export async function refuseOthers(path: string, resume: boolean): Promise<void> {
  const kind = await pathKind(path)
  if (kind === undefined) return
  if (kind === 'file')
    throw new LowrankError('usage', `${path} is a file, not a folder`, { file: path, field: 'output' })
  const names = await readdir(path).catch((error: unknown) => {
    throw fileError(error, path, 'read')
  })
  if (names.every((name) => name === LOCK_FILE)) return
  const isStudy = names.includes(PLAN_FILE)
  if (isStudy && resume) return
  throw new LowrankError('usage', `${path} holds ${isStudy ? 'a study' : 'files'} already; nothing was changed`, {
    file: path,
    field: 'output',
    suggestion: isStudy ? 'go on with it by --resume, or name another folder' : 'name another folder',
  })
}

/** What is no JSON is no record either. */
function asNoRecord(error: unknown): undefined {
  if (isLowrankError(error) && error.code === 'format') return undefined
  throw error
}

function isStudyRun(json: unknown): json is StudyRun {
  if (!isRecord(json)) return false
  const { setting, dataSeed, initSeed, status, value, figures, constant, evaluations, steps, seconds, folder } = json
  return (
    (status === 'done' || status === 'crashed') &&
    typeof setting === 'string' &&
    typeof folder === 'string' &&
    [dataSeed, initSeed, steps, seconds].every((n) => typeof n === 'number') &&
    (value === null || typeof value === 'number') &&
    areFigures(figures) &&
    areFigures(constant) &&
    Array.isArray(evaluations) &&
    evaluations.every((one) => isRecord(one) && typeof one.step === 'number' && areFigures(one.figures))
  )
}

function areFigures(value: unknown): value is Figures {
  return isRecord(value) && Object.values(value).every((n) => typeof n === 'number' || n === null)
}
