/**
 * @file Times training steps of a model folder in this very process: the steps that `train` would take. Runs as a child of
 * `bench`, so that its peak memory is its own. Must not know the peer.
 */
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { resolveOptions } from '../../config/resolve.ts'
import type { Batch } from '../../data/batch.ts'
import type { Profile } from '../../engine/engine.ts'
import type { HeadSpec } from '../../formats/task.ts'
import { invariant } from '../../support/errors.ts'
import { peakMemoryBytes } from '../../support/peak-memory.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import { TrainSession } from '../../train/session.ts'
import { type EngineName, openEngine } from '../open-engine.ts'
import { openConfig } from '../open-model.ts'
import { type Prediction, predictor } from '../preflight/predict.ts'
import { sessionOptions, threadsOf } from '../train/open-session.ts'
import type { TrainOptions, TrainSettings } from '../train/settings.ts'
import { openSubject, type Subject } from '../train/subject.ts'
import { randomBatch, rowBatches } from './batches.ts'

export interface MeasureSettings {
  readonly model: string
  /** What the model is trained for; absent: what its config means. */
  readonly head?: HeadSpec
  readonly sequence: number
  readonly batchSize: number
  readonly steps: number
  readonly rank: number
  readonly dropout: number
  readonly targets: string | string[]
  readonly engine: EngineName | 'auto'
  readonly threads: number | 'auto'
  readonly recompute: boolean
  /** File of encoded rows (see rows.ts), `steps · batchSize` of them; absent: random rows of `sequence` tokens. */
  readonly rows?: string
  readonly profile?: boolean
  /** Train every weight instead of an adapter. */
  readonly full?: boolean
  /** Predict time and memory before anything is allocated. */
  readonly predict?: boolean
}

export interface Measured {
  readonly engine: string
  readonly secondsPerStep: number
  /** Padding not counted. */
  readonly tokensPerSecond: number
  readonly rowsPerSecond: number
  readonly peakMemoryBytes: number
  readonly loadSeconds: number
  readonly parameters: number
  readonly trainable: number
  /** Resident memory once everything is loaded, before the first step. */
  readonly loadedBytes: number
  /** Share of the tokens computed that is padding. */
  readonly padding: number
  readonly profile?: Profile
  readonly predicted?: Prediction
}

const WARMUP = 2

/** Some steps; on rows of one length the median step counts, on others all of them together. */
export async function measureTraining(settings: MeasureSettings): Promise<Measured> {
  const begun = performance.now()
  const { subject, options } = await openForSteps(settings)
  const engine = await openEngine(settings.engine)
  const batches = await batchesOf(subject, settings)
  const [first] = batches
  invariant(first, 'nothing to measure')
  const predicted = settings.predict ? await predictedFor(first, subject, engine, settings, options) : undefined
  const session = await openSession(subject, engine, settings, options)
  const loadSeconds = (performance.now() - begun) / 1000
  const loadedBytes = process.memoryUsage().rss
  for (let step = 0; step < WARMUP; step++) await session.step([first], step, 2e-4)
  const seconds: number[] = []
  for (const [i, batch] of batches.entries()) {
    const started = performance.now()
    await session.step([batch], WARMUP + i, 2e-4)
    seconds.push((performance.now() - started) / 1000)
  }
  const whole = sum(seconds)
  const tokens = sum(batches.map((batch) => batch.tokens))
  const computed = sum(batches.map((batch) => sizeOf(batch.ids.shape)))
  const secondsPerStep = settings.rows === undefined ? median(seconds) : whole / batches.length
  const peak = peakMemoryBytes()
  const profile = await session.profile()
  await session.dispose()
  await engine.dispose()
  return {
    engine: engine.name,
    secondsPerStep,
    tokensPerSecond: tokens / batches.length / secondsPerStep,
    rowsPerSecond: sum(batches.map((batch) => batch.examples)) / batches.length / secondsPerStep,
    peakMemoryBytes: peak,
    loadSeconds,
    loadedBytes,
    parameters: subject.parameters,
    trainable: session.trained.groups.reduce((all, g) => all + g.size, 0),
    padding: 1 - tokens / computed,
    ...(profile === undefined ? {} : { profile }),
    ...(predicted === undefined ? {} : { predicted }),
  }
}

/** A session with its engine, ready for steps. */
export async function openForMeasure(
  settings: MeasureSettings,
): Promise<{ session: TrainSession; close(): Promise<void> }> {
  const engine = await openEngine(settings.engine)
  const { subject, options } = await openForSteps(settings)
  const session = await openSession(subject, engine, settings, options)
  const close = async (): Promise<void> => {
    await session.dispose()
    await engine.dispose()
  }
  return { session, close }
}

type OpenEngine = Awaited<ReturnType<typeof openEngine>>

/** What `train` would train with these settings, and how. */
async function openForSteps(settings: MeasureSettings): Promise<{ subject: Subject; options: TrainSettings }> {
  const { model, head, rank, dropout, targets, threads, full } = settings
  const method: TrainOptions = full ? { method: 'full' } : { rank, alpha: 2 * rank, dropout, targets }
  const given: TrainOptions = { model, data: 'rows', seed: 0, threads, ...method }
  const options = resolveOptions('train', given)
  const spec = head ?? (await openConfig(join(model, 'config.json'))).spec
  return { subject: await openSubject(options, new Set(Object.keys(given)), model, spec), options }
}

async function openSession(
  subject: Subject,
  engine: OpenEngine,
  { recompute, profile }: MeasureSettings,
  options: TrainSettings,
): Promise<TrainSession> {
  const session = await TrainSession.create(subject.trained, {
    ...sessionOptions(options, subject),
    engine,
    weights: subject.weights,
    recompute,
    ...(profile === undefined ? {} : { profile }),
    ...threadsOf(options),
  })
  await session.start(await subject.start())
  return session
}

async function predictedFor(
  first: Batch,
  { trained, weights }: Subject,
  engine: OpenEngine,
  { recompute }: MeasureSettings,
  options: TrainSettings,
): Promise<Prediction | undefined> {
  const [batch = 1, seq = 1] = first.ids.shape
  const shape = { batch, seq, labelled: first.labelRows.data.length }
  const stepOptions = { ...sessionOptions(options, { trained }), recompute }
  return (await predictor({ trained, options: stepOptions, weights, engine, ...threadsOf(options) }, shape))?.(shape)
}

async function batchesOf({ trained }: Subject, settings: MeasureSettings): Promise<Batch[]> {
  const { rows, batchSize, steps } = settings
  if (rows !== undefined) return await rowBatches(rows, batchSize, trained.model)
  return Array<Batch>(steps).fill(randomBatch(settings, trained.model))
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
