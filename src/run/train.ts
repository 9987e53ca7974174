/**
 * @file `train`: from options to a run folder, as a stream of typed events. The loop is train/loop.ts; here it is given
 * its model, rows, engine and folder. Must not know terminals.
 */
import { basename } from 'node:path'
import type { Batches } from '../data/batches.ts'
import type { Engine } from '../engine/engine.ts'
import { hashGraph, printGraph } from '../graph/print.ts'
import { isLowrankError, LowrankError } from '../support/errors.ts'
import {
  type Checkpoint,
  freshProgress,
  newestCheckpoint,
  type Progress,
  pruneCheckpoints,
  readCheckpointState,
  saveCheckpoint,
} from '../train/checkpoint.ts'
import { type LoopSettings, trainLoop } from '../train/loop.ts'
import type { PrefixRows } from '../train/prefix-rows.ts'
import { everySteps, warmupSteps } from '../train/schedules.ts'
import type { TrainSession } from '../train/session.ts'
import { baseFolder } from './base-folder.ts'
import { eventsOf } from './events.ts'
import { refuseInputs } from './keep-inputs.ts'
import { openEngine } from './open-engine.ts'
import { Evaluator } from './train/evaluator.ts'
import { changed, eventOf, type Run, resumeEvent, startEvent, unchanged } from './train/events.ts'
import { recipeNotes } from './train/few-sample.ts'
import { finish } from './train/finish.ts'
import { forgetFirstValues } from './train/first-values.ts'
import { invocationNotes } from './train/invocation.ts'
import { evaluationBatches, sourceOf, trainingBatches } from './train/material.ts'
import { openRun } from './train/open-run.ts'
import { openSession, refuseArithmetic, threadsOf } from './train/open-session.ts'
import { openPrefixes } from './train/prefix.ts'
import { preflight } from './train/preflight.ts'
import { finishedResult, RunFolder } from './train/run-folder.ts'
import { effectiveSettings, fingerprint, runFileText, type TrainOptions, type TrainSettings } from './train/settings.ts'
import { StepReporter, stepLine } from './train/step-reporter.ts'
import type { Subject } from './train/subject.ts'
import { ToldBy } from './train/told-by.ts'
import type { Stoppable, TrainEvent, TrainResult } from './types.ts'

export type { TrainOptions }

/**
 * Fine-tunes a model and writes a run folder. Events come as they happen and none is dropped; leaving the loop early or
 * aborting `signal` saves a checkpoint first.
 * @throws LowrankError naming the option, file, row or module that does not fit; nothing is written before all is checked.
 * @example
 * for await (const event of train({ model: 'lowrank-tiny', data: 'rows.jsonl', steps: 100 })) {
 *   if (event.type === 'step') console.log(event.step, event.loss)
 * }
 */
export async function* train(options: TrainOptions & Stoppable): AsyncGenerator<TrainEvent, TrainResult> {
  const { signal, ...given } = options
  if (given.dryRun === true)
    throw new LowrankError('usage', 'train() trains: a dry run of the library is dryRun()', { field: 'dryRun' })
  const effective = await effectiveSettings(given)
  const output = effective.settings.output ?? defaultOutput(effective.settings)
  const settings: TrainSettings = { ...effective.settings, output }
  const finished = effective.continues ? await finishedResult(output) : undefined
  if (finished && !effective.namesLength) return yield* unchanged(finished, output)
  // Everything that can be wrong with the input is found before the folder is touched.
  refuseArithmetic(settings)
  const folder = yield* eventsOf<TrainEvent, string>((emit, stop) => folderOf(settings, emit, stop), signal)
  if (settings.overwrite) await refuseInputs(output, inputsOf(settings, folder), 'run')
  const { subject, material } = await openRun(settings, effective.given, folder, signal)
  const activation = invocationNotes(subject.trained.layout.invocation, material.train)
  const recipe = recipeNotes(given, effective.settings, material.held !== undefined)
  const notes = [...recipe, ...activation, ...material.notes]
  const runFolder = await RunFolder.open(output, {
    continues: effective.continues || settings.resume,
    overwrite: settings.overwrite,
  })
  try {
    const run = { settings: subject.settings, effective, subject, material: { ...material, notes }, finished, signal }
    return yield* runIn(runFolder, run)
  } catch (error) {
    if (isLowrankError(error) && error.code === 'stopped') runFolder.keep()
    throw error
  } finally {
    await runFolder.release()
  }
}

async function* runIn(folder: RunFolder, run: Run): AsyncGenerator<TrainEvent, TrainResult> {
  const { settings, subject: opened, material, signal } = run
  const mark = fingerprint(settings, material.hash)
  const checkpoint = settings.resume ? await newestCheckpoint(folder.path) : undefined
  if (checkpoint && checkpoint.fingerprint !== mark) throw changed(checkpoint)
  const batches = trainingBatches(settings, material, checkpoint?.progress.cursor)
  const totalSteps = settings.steps ?? Math.ceil(settings.epochs * batches.stepsPerEpoch)
  if (run.finished && run.finished.steps >= totalSteps) return yield* unchanged(run.finished, folder.path)
  const begin = async (): Promise<void> => {
    if (settings.overwrite) await folder.clear()
    await folder.writeSettings(runFileText(settings))
    await folder.reopen()
    await folder.cutLog(checkpoint?.progress.step ?? 0)
  }
  // Early, so that a run killed from here on can be resumed; but a former run goes only when this one can begin.
  if (!settings.overwrite || opened.find) await begin()
  yield startEvent(run, folder.path, totalSteps)
  yield { type: 'data', report: material.report }
  for (const message of [...opened.notes, ...material.notes]) yield { type: 'notice', message }
  if (settings.resume) yield resumeEvent(checkpoint)
  const engine = await openEngine(settings.engine)
  try {
    const subject = yield* found(folder, run, engine)
    const prefixes = await openPrefixes({ settings, subject, material, engine })
    const cutsPrefix = prefixes.train !== undefined
    const parts = { settings, subject, data: material.train, batches, engine, cutsPrefix }
    const { recompute, events } = await preflight(parts)
    yield* events
    for (const message of prefixes.notes) yield { type: 'notice', message }
    yield* eventsOf<TrainEvent, void>(async (emit, stop) => await prefixes.fill(stop, emit), signal)
    const session = await openSession(settings, subject, { engine, recompute, prefixRows: prefixes.train, signal })
    try {
      if (settings.overwrite && !opened.find) await begin()
      folder.keep()
      if (settings.printGraph) yield { type: 'graph', text: printGraph(session.graph), hash: hashGraph(session.graph) }
      const work = { session, engine, batches, totalSteps, mark, checkpoint, heldPrefix: prefixes.held }
      return yield* trainIn(folder, { ...run, subject }, work)
    } finally {
      prefixes.release()
      await session.dispose()
    }
  } finally {
    await forgetFirstValues(folder.path)
    await engine.dispose()
  }
}

/** The subject with its first values, where they have to be found: in the base, or in the rows. */
async function* found(folder: RunFolder, run: Run, engine: Engine): AsyncGenerator<TrainEvent, Subject> {
  const { subject, settings, material } = run
  if (!subject.find) return subject
  const { find } = subject
  return yield* eventsOf<TrainEvent, Subject>(
    (emit, signal) =>
      find({
        engine,
        ...threadsOf(settings),
        rows: material.train,
        batchSize: settings.batchSize,
        folder: folder.path,
        signal,
        emit,
      }),
    run.signal,
  )
}

interface Work {
  readonly session: TrainSession
  readonly engine: Engine
  readonly batches: Batches
  readonly totalSteps: number
  readonly mark: string
  readonly checkpoint: Checkpoint | undefined
  /** What the frozen prefix makes of the rows held out. */
  readonly heldPrefix: PrefixRows | undefined
}

async function* trainIn(folder: RunFolder, run: Run, work: Work): AsyncGenerator<TrainEvent, TrainResult> {
  const { settings, subject, material, signal } = run
  const { session, batches, totalSteps, checkpoint } = work
  if (checkpoint) await session.writeState(await readCheckpointState(checkpoint))
  else await session.start(await subject.start())
  const progress: Progress = checkpoint ? structuredClone(checkpoint.progress) : freshProgress()
  const evaluator = material.held
    ? new Evaluator(session, work.engine, subject.weights, evaluationBatches(settings, material, material.held), {
        ...threadsOf(settings),
        prefixRows: work.heldPrefix,
      })
    : undefined
  const toldBy = new ToldBy()
  const save = async (): Promise<string> => {
    const values = await session.parameters()
    const path = await saveCheckpoint(
      folder.path,
      { progress, fingerprint: work.mark },
      await session.readState(),
      (target) => subject.write(target, values),
    )
    await pruneCheckpoints(folder.path, settings.keep, settings.keepBest ? progress.best?.step : undefined)
    return path
  }
  const loop = trainLoop({
    session,
    batches,
    settings: loopSettings(settings, totalSteps),
    progress,
    evaluate: evaluator && (() => toldBy.evaluate(evaluator, progress)),
    save,
    savesBest: settings.keepBest,
    sourceOf: (place) => sourceOf(material.train, place),
    signal,
  })
  const reporter = new StepReporter(progress, totalSteps)
  try {
    let stopped = false
    for (;;) {
      const next = await loop.next()
      if (next.done) {
        stopped = next.value.stopped
        break
      }
      const event = eventOf(next.value, reporter)
      const line = stepLine(event)
      if (line) await folder.log(line)
      yield event
    }
    const told = evaluator && toldBy.lookup(evaluator)
    return yield* finish(folder, run, work, { progress, reporter, stopped, told })
  } finally {
    // Reached with the loop still open where our own reader left: its `finally` saves.
    await loop.return({ stopped: true })
    await evaluator?.dispose()
  }
}

/** The folder of the base that is named, or of the config a new model starts from. */
export async function folderOf(
  settings: TrainSettings,
  onEvent: (event: TrainEvent) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (settings.fromConfig !== undefined)
    return settings.fromConfig.slice(0, -basename(settings.fromConfig).length) || '.'
  const { revision, offline } = settings
  return await baseFolder(settings.model ?? '', { revision, offline, signal, onEvent })
}

function inputsOf({ adapter, data, evalData, testData, loraConfig }: TrainSettings, base: string): string[] {
  return [base, adapter, loraConfig, ...(data ?? []), ...(evalData ?? []), ...(testData ?? [])].filter(
    (path) => path !== undefined,
  )
}

/** Where a run goes that names no folder. */
export function defaultOutput(settings: TrainSettings): string {
  const date = new Date().toISOString().slice(0, 16).replace(/[T:]/g, '-')
  const name = basename(settings.model ?? settings.fromConfig ?? 'model').replace(/[^\w.-]+/g, '-')
  return `runs/${date}-${name}-${settings.method}`
}

function loopSettings(settings: TrainSettings, totalSteps: number): LoopSettings {
  const { learningRate, schedule, logEvery, evalEvery, saveEvery } = settings
  return {
    totalSteps,
    learningRate,
    schedule,
    warmupSteps: warmupSteps(settings.warmup, totalSteps),
    logEvery,
    evalEvery: everySteps(evalEvery, totalSteps),
    saveEvery: everySteps(saveEvery, totalSteps),
  }
}
