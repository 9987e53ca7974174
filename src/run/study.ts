/**
 * @file `study`: a grid of runs over settings and seeds, each a run of train in a folder of its own, and what they say
 * together. Must not know terminals.
 */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { resolveOptions } from '../config/resolve.ts'
import type { InputOf } from '../config/verbs/index.ts'
import { isLowrankError, LowrankError } from '../support/errors.ts'
import { dryRun } from './dry-run.ts'
import { eventsOf } from './events.ts'
import { byMetric, checkMetric, differencesOf, groupsOf, metricOf } from './study/groups.ts'
import { type PlannedRun, type PlannedSetting, planStudy, type StudyPlan } from './study/plan.ts'
import { type RowFacts, refuseAnother, savedPlan } from './study/same-study.ts'
import { PLAN_FILE, refuseOthers, StudyFolder } from './study/study-folder.ts'
import type { StudyEvent, StudyGroup, StudyOptions, StudyResult, StudyRun } from './study/types.ts'
import { here, type Worker, workerProcess } from './study/worker.ts'
import type { Stoppable } from './types.ts'

/** How old study.json and study.html may be while runs go on. */
const WRITE_EVERY_MS = 30_000

type StudySettings = ReturnType<typeof resolveOptions<'study'>>

/**
 * Runs every setting with every seed and compares them. A killed or stopped study goes on with `resume`: what is finished
 * counts, and once.
 * @throws LowrankError `usage` naming a word, setting or value before anything starts; whatever `train` throws, but a run
 *   whose numbers stop being numbers: that one counts as failed, and the study goes on
 * @example
 * for await (const event of study({ base, settings: [{ name: 'a' }, { name: 'b', rank: 16 }], seeds: 5 })) {
 *   if (event.type === 'groups') console.table(event.groups)
 * }
 */
export async function* study(options: StudyOptions & Stoppable): AsyncGenerator<StudyEvent, StudyResult> {
  const { signal, ...given } = options
  const settings = resolveOptions('study', given as InputOf<'study'>)
  const plan = planStudy(given)
  const output = settings.output ?? `runs/${new Date().toISOString().slice(0, 16).replace(/[T:]/g, '-')}-study`
  await refuseOthers(output, settings.resume)
  const folder = await StudyFolder.open(output, settings.resume)
  try {
    const finished = await readFinished(folder, plan)
    const before = await folder.plan()
    // Words first: they are told apart without reading rows.
    refuseAnother(before, plan, new Map(), join(output, PLAN_FILE))
    const data = await checkRows(plan, finished, signal)
    refuseAnother(before, plan, data, join(output, PLAN_FILE))
    await folder.begin(savedPlan(plan, data, before))
    for (const run of finished.values()) if (run.status === 'done') checkMetric(settings.metric, run.figures)
    const work = new Work(folder, plan, settings, finished, await folder.seconds())
    const { workers } = settings
    const names = plan.settings.map(({ name }) => name)
    yield { type: 'start', output, settings: names, total: plan.runs.length, done: finished.size, workers }
    if (finished.size > 0) yield { type: 'groups', ...work.groups() }
    yield* eventsOf<StudyEvent, void>((emit, stop) => work.make(emit, stop), signal)
    const result = work.result()
    await folder.writeResult(result)
    yield { type: 'done', result }
    return result
  } finally {
    await folder.release()
  }
}

/** Records of the runs that are done; what a kill left of their folders is cleared away. */
async function readFinished(folder: StudyFolder, plan: StudyPlan): Promise<Map<PlannedRun, StudyRun>> {
  const finished = new Map<PlannedRun, StudyRun>()
  for (const run of plan.runs) {
    const record = await folder.read(run)
    if (record) finished.set(run, record)
  }
  return finished
}

/** Opens what every setting with runs to make needs, as `train --dry-run` does. */
async function checkRows(
  plan: StudyPlan,
  finished: ReadonlyMap<PlannedRun, StudyRun>,
  signal: AbortSignal | undefined,
): Promise<Map<string, RowFacts>> {
  const facts = new Map<string, RowFacts>()
  for (const setting of plan.settings) {
    if (plan.runs.every((run) => run.setting !== setting.name || finished.has(run))) continue
    facts.set(setting.name, await rowsOf(setting, plan.settings.length > 1, signal))
  }
  return facts
}

async function rowsOf(
  { name, options }: PlannedSetting,
  several: boolean,
  signal: AbortSignal | undefined,
): Promise<RowFacts> {
  const where = several ? `setting ${name}: ` : ''
  const found = await dryRun({ ...options, signal }).catch((error: unknown) => {
    if (!several || !isLowrankError(error) || error.code === 'stopped') throw error
    const { code, message, file, field, suggestion } = error
    throw new LowrankError(code, where + message, { file, field, suggestion, cause: error })
  })
  const { rows, tokens, heldRows, testRows } = found.data
  if (heldRows === undefined && testRows === undefined)
    throw new LowrankError('usage', `${where}a study compares runs by rows held out, and there are none`, {
      field: 'eval-data',
      suggestion: 'give eval-data, eval-split or test-data in base',
    })
  return {
    rows,
    tokens,
    ...(heldRows === undefined ? {} : { heldRows }),
    ...(testRows === undefined ? {} : { testRows }),
  }
}

/** The runs of a study and what is known of them so far. */
class Work {
  readonly #folder: StudyFolder
  readonly #plan: StudyPlan
  readonly #settings: StudySettings
  readonly #finished: Map<PlannedRun, StudyRun>
  /** By metric and setting. */
  readonly #groups = new Map<string, StudyGroup>()
  readonly #notices = new Set<string>()
  readonly #started = performance.now()
  /** Seconds before this call. */
  readonly #before: number
  #written = performance.now()

  constructor(
    folder: StudyFolder,
    plan: StudyPlan,
    settings: StudySettings,
    finished: Map<PlannedRun, StudyRun>,
    before: number,
  ) {
    this.#before = before
    this.#folder = folder
    this.#plan = plan
    this.#settings = settings
    this.#finished = finished
  }

  /** Makes what is missing, by as many workers as asked for. */
  async make(emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<void> {
    if (!this.#settings.keepRuns) for (const run of this.#finished.keys()) await this.#folder.prune(run)
    const queue = this.#plan.runs.filter((run) => !this.#finished.has(run))
    const count = Math.min(this.#settings.workers, queue.length)
    const failing = new AbortController()
    const stop = AbortSignal.any([signal, failing.signal])
    const lanes = Array.from({ length: count }, async () => {
      const worker = count === 1 ? here : workerProcess()
      try {
        for (let run = queue.shift(); run && !stop.aborted; run = queue.shift())
          await this.#one(run, worker, emit, stop)
      } catch (error) {
        failing.abort()
        throw error
      } finally {
        await worker.end()
      }
    })
    const ends = await Promise.allSettled(lanes)
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  async #one(run: PlannedRun, worker: Worker, emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<void> {
    const { setting, dataSeed, initSeed } = run
    const name = { setting, dataSeed, initSeed }
    emit({ type: 'begin', ...name })
    const asked = { output: join(this.#folder.path, run.folder), options: this.#optionsOf(run) }
    const outcome = await worker.run(
      asked,
      (event) => {
        if (event.type !== 'notice') return emit({ ...event, ...name })
        // The same of every run: once is enough.
        if (this.#notices.has(event.message)) return
        this.#notices.add(event.message)
        emit(event)
      },
      signal,
    )
    if (!outcome) return
    const metric = metricOf(this.#settings.metric, this.#known()?.figures ?? outcome.figures)
    const record = byMetric({ ...name, value: null, failed: false, folder: run.folder, ...outcome }, metric)
    await this.#folder.write(run, record)
    this.#finished.set(run, record)
    if (outcome.status === 'done') checkMetric(this.#settings.metric, outcome.figures)
    this.#groups.delete(`${metric} ${setting}`)
    if (!this.#settings.keepRuns) await this.#folder.prune(run)
    emit({ type: 'run', run: record, done: this.#finished.size, total: this.#plan.runs.length })
    emit({ type: 'groups', ...this.groups() })
    await this.#keepCurrent()
  }

  /** A long study can be looked at while it goes on. */
  async #keepCurrent(): Promise<void> {
    const now = performance.now()
    if (now - this.#written < WRITE_EVERY_MS) return
    this.#written = now
    await this.#folder.writeResult(this.result())
  }

  /** Workers share the machine's threads, unless a number was asked for. */
  #optionsOf({ options }: PlannedRun): PlannedRun['options'] {
    const { workers } = this.#settings
    if (workers === 1 || typeof options.threads === 'number') return options
    return { ...options, threads: Math.max(1, Math.floor(availableParallelism() / workers)) }
  }

  /** A run that has figures: they say which metric the task has. */
  #known(): StudyRun | undefined {
    for (const run of this.#finished.values()) if (run.status === 'done') return run
    return undefined
  }

  /** Finished runs in the order of the plan. */
  #runs(metric: string): StudyRun[] {
    return this.#plan.runs.flatMap((run) => {
      const record = this.#finished.get(run)
      return record ? [byMetric(record, metric)] : []
    })
  }

  /** Groups by setting; only what has changed is computed anew. */
  groups(): { metric: string; groups: StudyGroup[] } {
    const metric = metricOf(this.#settings.metric, this.#known()?.figures)
    const runs = this.#runs(metric)
    const groups = this.#plan.settings.map((setting) => {
      const key = `${metric} ${setting.name}`
      const group = this.#groups.get(key) ?? groupsOf([setting], runs, this.#plan.crossed)[0]
      if (group) this.#groups.set(key, group)
      return group
    })
    return { metric, groups: groups.filter((group) => group !== undefined) }
  }

  result(): StudyResult {
    const seconds = this.#before + (performance.now() - this.#started) / 1000
    const { metric, groups } = this.groups()
    const runs = this.#runs(metric)
    const names = this.#plan.settings.map(({ name }) => name)
    const total = this.#plan.runs.length
    return {
      ...{ output: this.#folder.path, metric, runs, groups, differences: differencesOf(names, runs), total, seconds },
      ...(runs.length < total ? { stopped: true } : {}),
    }
  }
}
