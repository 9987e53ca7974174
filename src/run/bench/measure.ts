/**
 * @file Times LoRA training steps of a model folder in this very process. Runs as a child of `bench`, so that its peak
 * memory is its own. Must not know the peer.
 */
import { performance } from 'node:perf_hooks'
import type { Batch } from '../../data/batch.ts'
import { Batches } from '../../data/batches.ts'
import { collate } from '../../data/collate.ts'
import { datasetOf } from '../../data/dataset.ts'
import type { Profile } from '../../engine/engine.ts'
import { loraConfig } from '../../formats/peft-config.ts'
import { readTensor } from '../../formats/tensor-files.ts'
import type { Model } from '../../models/causal-lm.ts'
import { initAdapter } from '../../peft/init.ts'
import { layoutAdapter } from '../../peft/layout.ts'
import { invariant } from '../../support/errors.ts'
import { peakMemoryBytes } from '../../support/peak-memory.ts'
import { RandomStream } from '../../support/random.ts'
import { type HostTensor, sizeOf } from '../../tensor/host-tensor.ts'
import { layoutFull } from '../../train/full-layout.ts'
import { groupParameters } from '../../train/parameter-groups.ts'
import { TrainSession } from '../../train/session.ts'
import { type EngineName, openEngine } from '../open-engine.ts'
import { type OpenModel, openModel } from '../open-model.ts'
import { type Prediction, predictor } from '../preflight/predict.ts'
import { readRows } from './rows.ts'

export interface MeasureSettings {
  readonly model: string
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
  const open = await openModel(settings.model)
  const engine = await openEngine(settings.engine)
  const batches = await batchesOf(open.model, settings)
  const [first] = batches
  invariant(first, 'nothing to measure')
  const predicted = settings.predict ? await predictedFor(first, open, engine, settings) : undefined
  const session = await openSession(open, engine, settings)
  const loadSeconds = (performance.now() - begun) / 1000
  const loadedBytes = process.memoryUsage().rss
  for (let step = 0; step < WARMUP; step++) await session.step([first], step, 2e-4)
  const seconds: number[] = []
  for (const [i, batch] of batches.entries()) {
    const started = performance.now()
    await session.step([batch], WARMUP + i, 2e-4)
    seconds.push((performance.now() - started) / 1000)
  }
  const whole = seconds.reduce((a, b) => a + b, 0)
  const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0)
  const computed = batches.reduce((sum, batch) => sum + sizeOf(batch.ids.shape), 0)
  const secondsPerStep = settings.rows === undefined ? median(seconds) : whole / batches.length
  const peak = peakMemoryBytes()
  const profile = await session.profile()
  await session.dispose()
  await engine.dispose()
  return {
    engine: engine.name,
    secondsPerStep,
    tokensPerSecond: tokens / batches.length / secondsPerStep,
    peakMemoryBytes: peak,
    loadSeconds,
    loadedBytes,
    parameters: [...open.weights.values()].reduce((sum, w) => sum + sizeOf(w.shape), 0),
    trainable: session.trained.groups.reduce((sum, g) => sum + g.size, 0),
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
  const session = await openSession(await openModel(settings.model), engine, settings)
  const close = async (): Promise<void> => {
    await session.dispose()
    await engine.dispose()
  }
  return { session, close }
}

type OpenEngine = Awaited<ReturnType<typeof openEngine>>

async function openSession(open: OpenModel, engine: OpenEngine, settings: MeasureSettings): Promise<TrainSession> {
  const { weights } = open
  const { adapter, trained } = trainedOf(open, settings)
  const session = await TrainSession.create(trained, {
    ...stepOptions(settings),
    engine,
    weights,
    ...(settings.profile === undefined ? {} : { profile: settings.profile }),
    ...threadsOf(settings),
  })
  const base = async (name: string): Promise<HostTensor> => {
    const ref = weights.get(name)
    invariant(ref, `no tensor ${name}`)
    return await readTensor(ref, { as: 'f32' })
  }
  if (adapter) await session.start(await initAdapter(adapter, { seed: 0, init: true }, base))
  else {
    const own = trained.layout.tensors.map(async ({ id }) => [id, await base(id)] as const)
    await session.start(new Map(await Promise.all(own)))
  }
  return session
}

function trainedOf({ model }: OpenModel, { rank, dropout, targets, full }: MeasureSettings) {
  const config = loraConfig({
    ...{ r: rank, lora_alpha: 2 * rank, lora_dropout: dropout, target_modules: targets },
    task_type: 'CAUSAL_LM',
  })
  const adapter = full ? undefined : layoutAdapter(model.modules, config, { modelType: model.modelType })
  const layout = adapter ?? layoutFull(model.modules)
  const trained = { model, layout, groups: groupParameters(layout.tensors), dropout, followsTies: full === true }
  return { adapter, trained }
}

function stepOptions({ dropout, recompute }: MeasureSettings) {
  return {
    ...({ optimizer: 'adamw', weightDecay: 0, maxGradNorm: 1, accumulates: false } as const),
    ...{ dropout: dropout > 0, dropoutSeed: 0, recompute },
  }
}

function threadsOf({ threads }: MeasureSettings): { threads?: number } {
  return threads === 'auto' ? {} : { threads }
}

async function predictedFor(
  first: Batch,
  open: OpenModel,
  engine: OpenEngine,
  settings: MeasureSettings,
): Promise<Prediction | undefined> {
  const [batch = 1, seq = 1] = first.ids.shape
  const shape = { batch, seq, labelled: first.labelRows.data.length }
  const { trained } = trainedOf(open, settings)
  const { weights } = open
  const subject = { trained, options: stepOptions(settings), weights, engine, ...threadsOf(settings) }
  return (await predictor(subject, shape))?.(shape)
}

async function batchesOf(model: Model, { rows, sequence, batchSize, steps }: MeasureSettings): Promise<Batch[]> {
  if (rows !== undefined) {
    const data = datasetOf(await readRows(rows))
    return [...new Batches(data, { batchSize }).epoch()].flatMap((step) => step.batches)
  }
  const random = new RandomStream(0, 'bench')
  const batch = collate(
    Array.from({ length: batchSize }, (_, place) => {
      const ids = Int32Array.from({ length: sequence }, () => random.below(model.config.vocabSize))
      return [{ ids, labels: ids, place, source: 'bench' }]
    }),
  )
  return Array<Batch>(steps).fill(batch)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
