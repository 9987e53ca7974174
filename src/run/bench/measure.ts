/**
 * @file Times LoRA training steps of a model folder in this very process, and the matrix products of such a step alone.
 * Runs as a child of `bench`, so that its peak memory is its own. Must not know the peer.
 */
import { performance } from 'node:perf_hooks'
import { collate } from '../../data/collate.ts'
import type { Engine } from '../../engine/engine.ts'
import { prepare } from '../../engine/prepare.ts'
import { loraConfig } from '../../formats/peft-config.ts'
import { readTensor } from '../../formats/tensor-files.ts'
import { graphOf } from '../../graph/graph.ts'
import type { Model } from '../../models/causal-lm.ts'
import { newBuilder } from '../../ops/index.ts'
import { initAdapter } from '../../peft/init.ts'
import { layoutAdapter } from '../../peft/layout.ts'
import { invariant } from '../../support/errors.ts'
import { peakMemoryBytes } from '../../support/peak-memory.ts'
import { RandomStream } from '../../support/random.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { groupParameters } from '../../train/parameter-groups.ts'
import { TrainSession } from '../../train/session.ts'
import { type EngineName, openEngine } from '../open-engine.ts'
import { openModel } from '../open-model.ts'

export interface MeasureSettings {
  readonly model: string
  readonly sequence: number
  readonly batchSize: number
  readonly steps: number
  readonly rank: number
  readonly targets: string | string[]
  readonly engine: EngineName | 'auto'
  readonly threads: number | 'auto'
  readonly recompute: boolean
}

export interface Measured {
  readonly engine: string
  readonly secondsPerStep: number
  readonly tokensPerSecond: number
  readonly peakMemoryBytes: number
  readonly loadSeconds: number
  readonly parameters: number
  readonly trainable: number
  /** Resident memory once everything is loaded, before the first step. */
  readonly loadedBytes: number
}

const WARMUP = 2

/** Steps on random tokens; the median step counts. */
export async function measureTraining(settings: MeasureSettings): Promise<Measured> {
  const begun = performance.now()
  const { model, weights } = await openModel(settings.model)
  const config = loraConfig({
    r: settings.rank,
    lora_alpha: 2 * settings.rank,
    target_modules: settings.targets,
    task_type: 'CAUSAL_LM',
  })
  const layout = layoutAdapter(model.modules, config, { modelType: model.modelType })
  const groups = groupParameters(layout.tensors)
  const engine = await openEngine(settings.engine)
  const session = await TrainSession.create(
    { model, layout, groups, dropout: 0, followsTies: false },
    {
      engine,
      weights,
      optimizer: 'adamw',
      weightDecay: 0,
      maxGradNorm: 1,
      accumulates: false,
      dropout: false,
      dropoutSeed: 0,
      recompute: settings.recompute,
      ...(settings.threads === 'auto' ? {} : { threads: settings.threads }),
    },
  )
  const base = async (name: string): Promise<HostTensor> => {
    const ref = weights.get(name)
    invariant(ref, `no tensor ${name}`)
    return await readTensor(ref, { as: 'f32' })
  }
  await session.start(await initAdapter(layout, { seed: 0, init: true }, base))
  const loadSeconds = (performance.now() - begun) / 1000
  const loadedBytes = process.memoryUsage().rss
  const batch = randomBatch(model, settings)
  const seconds: number[] = []
  for (let step = 0; step < WARMUP + settings.steps; step++) {
    const started = performance.now()
    await session.step([batch], step, 2e-4)
    if (step >= WARMUP) seconds.push((performance.now() - started) / 1000)
  }
  const secondsPerStep = median(seconds)
  const peak = peakMemoryBytes()
  await session.dispose()
  await engine.dispose()
  return {
    engine: engine.name,
    secondsPerStep,
    tokensPerSecond: (settings.batchSize * settings.sequence) / secondsPerStep,
    peakMemoryBytes: peak,
    loadSeconds,
    loadedBytes,
    parameters: [...weights.values()].reduce((sum, w) => sum + w.shape.reduce((a, b) => a * b, 1), 0),
    trainable: groups.reduce((sum, g) => sum + g.size, 0),
  }
}

function randomBatch(model: Model, { sequence, batchSize }: MeasureSettings): ReturnType<typeof collate> {
  const random = new RandomStream(0, 'bench')
  return collate(
    Array.from({ length: batchSize }, (_, place) => {
      const ids = Int32Array.from({ length: sequence }, () => random.below(model.config.vocabSize))
      return [{ ids, labels: ids, place, source: 'bench' }]
    }),
  )
}

/** Multiplications and additions of the frozen layers in one step: forward, and the gradient of their inputs. */
export function stepFlops(model: Model, tokens: number): number {
  const weights = model.modules.filter((m) => m.kind === 'linear' || m.kind === 'conv1d')
  const size = weights.reduce((sum, { parameters }) => sum + (parameters[0]?.shape.reduce((a, b) => a * b, 1) ?? 0), 0)
  return 4 * size * tokens
}

/** GFLOP/s of this engine on products of the model's own shapes: the limit a step could reach with nothing else to do. */
export async function measureProducts(settings: MeasureSettings): Promise<number> {
  const { model, weights } = await openModel(settings.model)
  const engine = await openEngine(settings.engine)
  const tokens = settings.sequence * settings.batchSize
  let [flops, seconds] = [0, 0]
  for (const { path, inFeatures, outFeatures } of distinctShapes(model)) {
    const elapsed = await timeProduct(engine, weights, `${path}.weight`, tokens, settings.threads)
    flops += 2 * tokens * inFeatures * outFeatures
    seconds += elapsed
  }
  await engine.dispose()
  return flops / seconds / 1e9
}

function distinctShapes(model: Model): { path: string; inFeatures: number; outFeatures: number }[] {
  const seen = new Map<string, { path: string; inFeatures: number; outFeatures: number }>()
  for (const { path, kind, tiedTo, inFeatures = 0, outFeatures = 0 } of model.modules) {
    if (kind === 'linear' && tiedTo === undefined)
      seen.set(`${inFeatures}x${outFeatures}`, { path, inFeatures, outFeatures })
  }
  return [...seen.values()]
}

/** Best of several runs: the limit is what the machine can do, not what it did while others used it. */
async function timeProduct(
  engine: Engine,
  weights: Awaited<ReturnType<typeof openModel>>['weights'],
  name: string,
  tokens: number,
  threads: number | 'auto',
): Promise<number> {
  const ref = weights.get(name)
  invariant(ref, `no tensor ${name}`)
  const [out = 1, width = 1] = ref.shape
  const g = newBuilder()
  const x = g.feed('x', { dtype: 'f32', shape: [tokens, width] })
  // Several products, of which one column comes back, so that neither the call nor the result counts. They stand in the
  // backward phase: engines lay weights out for speed in training, and training is what the limit is for.
  const rounds = Math.max(1, Math.round(8e9 / (2 * tokens * width * out)))
  const graph = g.during('backward', '', () => {
    const columns = Array.from({ length: rounds }, (_, i) => {
      const y = g.matmul(g.mul(x, 1 + i), g.weight(name, [out, width]), { transB: true })
      return g.sum(g.slice(y, { axis: 1, start: 0, size: 1 }), { axes: [0, 1] })
    })
    return graphOf([['y', columns.reduce((a, b) => g.add(a, b))]])
  })
  const executable = await engine.compile(prepare(graph, engine.composites), {
    weights: new Map([[name, ref]]),
    ...(threads === 'auto' ? {} : { threads }),
  })
  const feeds = {
    x: { dtype: 'f32', shape: [tokens, width], data: new Float32Array(tokens * width).fill(0.01) },
  } as const
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 6; i++) {
    const started = performance.now()
    await executable.run(feeds)
    if (i > 0) best = Math.min(best, (performance.now() - started) / 1000)
  }
  await executable.dispose()
  return best / rounds
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
