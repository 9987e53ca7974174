/**
 * @file What a training step will take on this machine, in time and in memory, before anything is allocated.
 * Must not know terminals, settings or how a run is carried out.
 */
import type { Engine, WeightRef, WeightSource } from '../../engine/engine.ts'
import type { Model } from '../../models/model.ts'
import { LowrankError } from '../../support/errors.ts'
import { type HostTensor, sizeOf } from '../../tensor/host-tensor.ts'
import { stepOf } from '../../train/session.ts'
import type { StepOptions, Trained } from '../../train/step-graph.ts'
import { probe, type Rates } from './probe.ts'

/** The extents of a batch. */
export interface BatchShape {
  readonly batch: number
  readonly seq: number
  readonly labelled: number
}

export interface Prediction {
  readonly secondsPerStep: number
  /** Of the whole process. */
  readonly peakMemoryBytes: number
}

export interface Predictable {
  readonly trained: Trained
  readonly options: StepOptions & { readonly recompute: boolean }
  readonly weights: WeightSource
  readonly engine: Engine
  readonly threads?: number | undefined
}

/** What the engine holds besides: its code, and a graph and plans of so many kernels. */
const BESIDE = { bytes: 10e6, perKernel: 9e3 }
/** Seconds that a step takes outside of the engine: batches, messages, waking up. */
const CALL = 0.004
/** Allocators ask for larger and larger pieces, of which gaps are left: half of what is alive beyond this comes on top. */
const GAPS = { from: 0.6e9, share: 0.5 }
/** State goes in and out of each run, and what went before waits for the garbage collector. */
const COPIES_OF_STATE = 3
/** Bytes a second at which it is copied into buffers that are new each time. */
const COPY_RATE = 4e9

/** A function from shapes to predictions: the machine is measured and the graph built once. */
export async function predictor(
  subject: Predictable,
  largest: BatchShape,
): Promise<((shape: BatchShape) => Prediction) | undefined> {
  const { engine, options } = subject
  if (!engine.workload) return undefined
  const rates = await ratesOf(subject, largest)
  if (!rates) return undefined
  const { graph } = stepOf(subject.trained, options, engine.composites)
  const now = process.memoryUsage().rss
  return (shape) => {
    const work = engine.workload?.(graph, new Map(Object.entries(shape)), { lean: options.recompute })
    if (!work) throw new LowrankError('engine', `${engine.name} cannot tell what a step takes`)
    const { products, moved, kernels, values, weights, state } = work
    return {
      secondsPerStep:
        CALL +
        products / rates.products +
        moved / rates.moved +
        kernels * rates.kernel +
        (COPIES_OF_STATE * state) / COPY_RATE,
      peakMemoryBytes: Math.round(
        now +
          BESIDE.bytes +
          BESIDE.perKernel * kernels +
          weights +
          values +
          GAPS.share * Math.max(0, values - GAPS.from) +
          COPIES_OF_STATE * state,
      ),
    }
  }
}

async function ratesOf(
  { engine, options, trained, weights, threads }: Predictable,
  shape: BatchShape,
): Promise<Rates | undefined> {
  const matrix = typicalMatrix(trained.model, weights)
  if (!matrix) return undefined
  return await probe(engine, {
    matrix,
    rows: shape.batch * shape.seq,
    lean: options.recompute,
    ...(threads === undefined ? {} : { threads }),
  })
}

/** The largest matrix of the layers: most of a step is products with such. */
function typicalMatrix(model: Model, weights: WeightSource): WeightRef | HostTensor | undefined {
  const found = model.modules.flatMap(({ kind, path, isOutputHead }) => {
    const isLayer = (kind === 'linear' || kind === 'conv1d') && !isOutputHead
    return (isLayer && weights.get(`${path}.weight`)) || []
  })
  return found.sort((a, b) => sizeOf(b.shape) - sizeOf(a.shape))[0]
}
