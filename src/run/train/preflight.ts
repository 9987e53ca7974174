/**
 * @file Before a run takes any memory: what a step will take, whether that fits, and what to do where it does not.
 * Must not know how predictions are made, or folders.
 */
import type { Batches } from '../../data/batches.ts'
import type { Dataset } from '../../data/dataset.ts'
import type { Engine } from '../../engine/engine.ts'
import { LowrankError } from '../../support/errors.ts'
import { freeMemory } from '../../support/free-memory.ts'
import { bytes } from '../../support/human.ts'
import { type BatchShape, type Prediction, predictor } from '../preflight/predict.ts'
import type { TrainEvent } from '../types.ts'
import { sessionOptions, threadsOf } from './open-session.ts'
import type { TrainSettings } from './settings.ts'
import type { Subject } from './subject.ts'

/** Share of free memory a run may take before activations are recomputed, or something else is proposed. */
const SHARE = 0.8
/** Steps looked at for the time a step takes. */
const SAMPLE = 16

export interface Preflight {
  readonly recompute: boolean
  readonly events: readonly TrainEvent[]
}

interface Parts {
  readonly settings: TrainSettings
  readonly subject: Subject
  readonly data: Dataset
  readonly batches: Batches
  readonly engine: Engine
  /** Steps leave the frozen prefix out. */
  readonly cutsPrefix: boolean
}

/**
 * Predicts time and memory and decides about recomputation.
 * @throws LowrankError `usage` where a run cannot fit, with what would
 */
export async function preflight(parts: Parts): Promise<Preflight> {
  const memory: Memory = { held: process.memoryUsage().rss, free: await freeMemory() }
  return await decide(parts.settings, memory, (recompute) => predictionsOf(parts, recompute))
}

/** Bytes this process holds already, and those it could have besides. */
export interface Memory {
  readonly held: number
  readonly free: number
}

export interface Predictions {
  readonly predict: (shape: BatchShape) => Prediction
  /** The largest batch there is. */
  readonly shape: BatchShape
  /** Of an optimizer step, on average. */
  readonly secondsPerStep: number
}

type Choices = Pick<TrainSettings, 'recompute' | 'batchSize' | 'gradAccumulation'>

/** What to do, given what a step takes without and with recomputation (undefined where the engine cannot tell). */
export async function decide(
  settings: Choices,
  memory: Memory,
  predictions: (recompute: boolean) => Promise<Predictions | undefined>,
): Promise<Preflight> {
  const asked = settings.recompute === 'on'
  const plain = await predictions(asked)
  if (!plain) return { recompute: asked, events: [] }
  if (settings.recompute !== 'auto' || fits(plain, memory)) return outcome(settings, memory, plain, asked)
  const saving = await predictions(true)
  const { recompute, events } = outcome(settings, memory, saving ?? plain, true)
  const message = 'activations are recomputed in the backward pass, to fit in memory'
  return { recompute, events: [...events, { type: 'notice', message }] }
}

function peakOf({ predict, shape }: Predictions): number {
  return predict(shape).peakMemoryBytes
}

function fits(found: Predictions, { held, free }: Memory): boolean {
  return peakOf(found) <= held + SHARE * free
}

/** What is said of a decision. @throws LowrankError where it cannot work */
function outcome(settings: Choices, memory: Memory, found: Predictions, recompute: boolean): Preflight {
  const peakMemoryBytes = peakOf(found)
  const { held, free } = memory
  const event: TrainEvent = {
    type: 'preflight',
    secondsPerStep: found.secondsPerStep,
    peakMemoryBytes,
    freeMemoryBytes: free,
    recompute,
  }
  if (fits(found, memory)) return { recompute, events: [event] }
  const message = `a step takes about ${bytes(peakMemoryBytes)} of memory at its peak, and ${bytes(free)} are free`
  const suggestion = recompute ? smallerBatch(settings, memory, found) : 'try --recompute'
  if (peakMemoryBytes > held + free) throw new LowrankError('usage', message, { field: 'batchSize', suggestion })
  return { recompute, events: [event, { type: 'notice', message: `${message}: ${suggestion}` }] }
}

function smallerBatch({ batchSize, gradAccumulation }: Choices, memory: Memory, found: Predictions): string {
  const { batch, seq, labelled } = found.shape
  const ofSize = (size: number): Predictions => ({
    ...found,
    shape: { batch: size, seq, labelled: Math.ceil((labelled / batch) * size) },
  })
  for (let size = Math.min(batchSize, batch) - 1; size > 0; size--) {
    if (fits(ofSize(size), memory))
      return `try --batch-size ${size} --grad-accumulation ${Math.ceil((batchSize * gradAccumulation) / size)}`
  }
  return 'try a smaller --max-length, or a smaller model'
}

async function predictionsOf(parts: Parts, recompute: boolean): Promise<Predictions | undefined> {
  const { settings, subject, engine, batches } = parts
  const shape = largestShape(parts)
  const options = { ...sessionOptions(settings, subject), recompute, cutsPrefix: parts.cutsPrefix }
  const { trained, weights } = subject
  const predict = await predictor({ trained, options, weights, engine, ...threadsOf(settings) }, shape)
  if (!predict) return undefined
  const count = Math.min(SAMPLE, batches.stepsPerEpoch)
  const sampled = Array.from({ length: count }, (_, i) =>
    batches.step(0, Math.floor((i * batches.stepsPerEpoch) / count)).batches.map(
      ({ ids, labelRows }): BatchShape => ({
        batch: ids.shape[0] ?? 1,
        seq: ids.shape[1] ?? 1,
        labelled: labelRows.data.length,
      }),
    ),
  ).flat()
  const seconds = sampled.reduce((sum, one) => sum + predict(one).secondsPerStep, 0)
  return { predict, shape, secondsPerStep: seconds / count }
}

/** No batch is larger than the longest rows together, each with as many labels as any has. */
function largestShape({ settings, data }: Parts): BatchShape {
  let [longest, all, labels] = [1, 0, 1]
  for (let i = 0; i < data.length; i++) {
    const { ids, labels: own } = data.example(i)
    longest = Math.max(longest, ids.length)
    all += ids.length
    labels = Math.max(
      labels,
      own.reduce((count, label) => count + (label >= 0 ? 1 : 0), 0),
    )
  }
  const batch = Math.min(settings.batchSize, data.length)
  const seq = settings.packing ? Math.max(longest, Math.min(settings.maxLength, all)) : longest
  const labelled = settings.packing ? batch * seq : batch * labels
  return { batch, seq, labelled }
}
