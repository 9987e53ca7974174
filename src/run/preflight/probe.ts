/**
 * @file How fast this machine is right now at what a training step is made of, measured in about half a second.
 * Must not know models or training.
 */
import { performance } from 'node:perf_hooks'
import { type CompileOptions, type Engine, fullRateOperations, type WeightRef } from '../../engine/engine.ts'
import { prepare } from '../../engine/prepare.ts'
import type { Builder } from '../../graph/builder.ts'
import { graphOf } from '../../graph/graph.ts'
import type { Node } from '../../graph/types.ts'
import { newBuilder } from '../../ops/index.ts'
import { type HostTensor, zeros } from '../../tensor/host-tensor.ts'

export interface Rates {
  /** Operations of large matrix products a second. */
  readonly products: number
  /** Bytes that element-wise work reads and writes a second. */
  readonly moved: number
  /** Seconds that a kernel takes beside its work. */
  readonly kernel: number
}

export interface ProbeOptions extends Pick<CompileOptions, 'threads' | 'lean'> {
  /** A frozen matrix of the model to multiply with, as training does. */
  readonly matrix: WeightRef | HostTensor
  /** Rows of a step, of all of its samples. */
  readonly rows: number
}

/** Rows of the product: more take longer and tell nothing new. */
const MOST_ROWS = 512
/** Numbers in a vector that no core's own cache holds, as a step's values are not held. */
const LONG = 1 << 20
/** Numbers in a vector that is just worth sharing among threads: most of the time is the sharing. */
const SHORT = 1 << 14
/** In a chain of one op everything is at hand; in a step the same op takes about this often as long. */
const HOT = 2
/** Work of a run: some tens of milliseconds. */
const RUN = { operations: 6e9, bytes: 12 * 32 * (1 << 20), kernels: 400 }
/** Runs of each kind; the median counts: a step will share the machine as these runs do. */
const RUNS = 8

/** Measured in this process, by what was measured: the runs of a study ask for the same. */
const known = new Map<string, Rates>()

/** Measures an engine, once a process. What it runs on must be left alone for as long. */
export async function probe(engine: Engine, options: ProbeOptions): Promise<Rates> {
  const { matrix, rows, threads, lean } = options
  const key = JSON.stringify([engine.name, matrix.shape, Math.min(MOST_ROWS, rows), threads, lean])
  const rates = known.get(key) ?? (await measure(engine, options))
  known.set(key, rates)
  return rates
}

async function measure(engine: Engine, options: ProbeOptions): Promise<Rates> {
  const [out, width] = [options.matrix.shape[0] ?? 1, options.matrix.shape[1] ?? 1]
  const rows = Math.min(MOST_ROWS, options.rows)
  const rounds = within(1, 400, RUN.operations / (2 * rows * out * width))
  const products = await timed(engine, options, { x: zeros('f32', [rows, width]) }, (g, feed) => {
    const w = g.weight('w', [out, width])
    const columns = Array.from({ length: rounds }, (_, i) => {
      const y = g.matmul(g.add(feed('x'), 1 + i), w, { transB: true })
      return g.sum(g.slice(y, { axis: 1, start: 0, size: 1 }), { axes: [0, 1] })
    })
    return columns.reduce((a, b) => g.add(a, b))
  })
  const passes = RUN.bytes / (12 * LONG)
  const moved = (12 * LONG * passes) / (await chain(engine, options, LONG, passes))
  const kernel = (HOT * (await chain(engine, options, SHORT, RUN.kernels))) / RUN.kernels
  const operations = fullRateOperations(rows, out, width) * rounds
  // Beside each product stand an addition and the reading of a column.
  const beside = rounds * (3 * kernel + (8 * rows * width) / moved)
  return { products: operations / Math.max(products - beside, products / 2), moved, kernel }
}

function within(low: number, high: number, value: number): number {
  return Math.round(Math.max(low, Math.min(high, value)))
}

/** Seconds of additions one after another. */
async function chain(engine: Engine, options: ProbeOptions, length: number, ops: number): Promise<number> {
  const [x, y] = [zeros('f32', [length]), zeros('f32', [length])]
  return await timed(engine, options, { x, y }, (g, feed) => {
    let sum = feed('x')
    for (let i = 0; i < ops; i++) sum = g.add(sum, feed('y'))
    return g.slice(sum, { axis: 0, start: 0, size: 1 })
  })
}

type Build = (g: Builder, feed: (name: string) => Node) => Node

/** The median of some runs; the first one warms up. */
async function timed(
  engine: Engine,
  { matrix, threads, lean }: ProbeOptions,
  feeds: Readonly<Record<string, HostTensor>>,
  build: Build,
): Promise<number> {
  const g = newBuilder()
  const feed = (name: string): Node => g.feed(name, { dtype: 'f32', shape: feeds[name]?.shape ?? [] })
  // In the backward phase, since engines lay weights out for speed in training.
  const graph = g.during('backward', '', () => graphOf([['y', build(g, feed)]]))
  const executable = await engine.compile(prepare(graph, engine.composites), {
    weights: new Map([['w', matrix]]),
    ...(threads === undefined ? {} : { threads }),
    ...(lean === undefined ? {} : { lean }),
  })
  const seconds: number[] = []
  for (let i = 0; i <= RUNS; i++) {
    const started = performance.now()
    await executable.run(feeds)
    if (i > 0) seconds.push((performance.now() - started) / 1000)
  }
  await executable.dispose()
  return seconds.sort((a, b) => a - b)[RUNS >> 1] ?? Number.NaN
}
