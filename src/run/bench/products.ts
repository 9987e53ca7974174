/**
 * @file The matrix products of a model alone, on this machine in this engine: the limit that a step could reach with
 * nothing else to do. Must not know training.
 */
import { performance } from 'node:perf_hooks'
import type { Engine } from '../../engine/engine.ts'
import { prepare } from '../../engine/prepare.ts'
import { graphOf } from '../../graph/graph.ts'
import type { Model } from '../../models/model.ts'
import type { ModuleInfo } from '../../models/modules.ts'
import { newBuilder } from '../../ops/index.ts'
import { invariant } from '../../support/errors.ts'
import { openEngine } from '../open-engine.ts'
import { openModel } from '../open-model.ts'
import type { MeasureSettings } from './measure.ts'

/** Multiplications and additions of the frozen layers in one step: forward, and the gradient of their inputs. */
export function stepFlops(model: Model, tokens: number): number {
  const weights = layersOf(model).filter((m) => m.kind === 'linear' || m.kind === 'conv1d')
  const size = weights.reduce((sum, { parameters }) => sum + (parameters[0]?.shape.reduce((a, b) => a * b, 1) ?? 0), 0)
  return 4 * size * tokens
}

/** What works on every token: an encoder's pooler and head see one state a row. */
function layersOf({ modules, spec }: Model): readonly ModuleInfo[] {
  return spec.task === 'causal-lm' ? modules : modules.filter(({ isAbove }) => !isAbove)
}

/** GFLOP/s of this engine on products of the model's own shapes: the limit a step could reach with nothing else to do. */
export async function measureProducts(settings: MeasureSettings): Promise<number> {
  const { model, weights } = await openModel(settings.model, settings.head)
  const engine = await openEngine(settings.engine)
  const tokens = settings.sequence * settings.batchSize
  let [flops, seconds] = [0, 0]
  for (const shape of distinctShapes(model)) {
    const { count, inFeatures, outFeatures } = shape
    const elapsed = await timeProduct(engine, weights, shape, tokens, settings.threads)
    flops += count * 2 * tokens * inFeatures * outFeatures
    seconds += count * elapsed
  }
  await engine.dispose()
  return flops / seconds / 1e9
}

interface Shape {
  /** Of the first layer that has it. */
  readonly path: string
  /** `conv1d` has its weight the other way round. */
  readonly kind: 'linear' | 'conv1d'
  readonly inFeatures: number
  readonly outFeatures: number
  /** Layers that have it. */
  readonly count: number
}

function distinctShapes(model: Model): Shape[] {
  const seen = new Map<string, Shape>()
  for (const { path, kind, tiedTo, inFeatures = 0, outFeatures = 0 } of layersOf(model)) {
    if ((kind !== 'linear' && kind !== 'conv1d') || tiedTo !== undefined) continue
    const key = `${kind} ${inFeatures}x${outFeatures}`
    const first = seen.get(key)
    seen.set(key, { path, kind, inFeatures, outFeatures, ...first, count: (first?.count ?? 0) + 1 })
  }
  return [...seen.values()]
}

/** Of a toy's products a graph would hold hundreds of thousands; its limit is one of calls, then. */
const MOST_ROUNDS = 200

/** Best of several runs: the limit is what the machine can do, not what it did while others used it. */
async function timeProduct(
  engine: Engine,
  weights: Awaited<ReturnType<typeof openModel>>['weights'],
  { path, kind, inFeatures: width, outFeatures: out }: Shape,
  tokens: number,
  threads: number | 'auto',
): Promise<number> {
  const name = `${path}.weight`
  const ref = weights.get(name)
  invariant(ref, `no tensor ${name}`)
  const g = newBuilder()
  const x = g.feed('x', { dtype: 'f32', shape: [tokens, width] })
  // Several products, of which one column comes back, so that neither the call nor the result counts. They stand in the
  // backward phase: engines lay weights out for speed in training, and training is what the limit is for.
  const rounds = Math.min(MOST_ROUNDS, Math.max(1, Math.round(8e9 / (2 * tokens * width * out))))
  const graph = g.during('backward', '', () => {
    const columns = Array.from({ length: rounds }, (_, i) => {
      const y = g.matmul(g.mul(x, 1 + i), g.weight(name, ref.shape), { transB: kind === 'linear' })
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
