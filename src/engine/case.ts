/**
 * @file What an engine conformance case is: a graph, inputs drawn from a seed, and how an engine's answers are compared
 * with an oracle's. Must not know any engine or test runner.
 */
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node, TensorType } from '../graph/types.ts'
import type { InputKind } from '../graph/vocabulary.ts'
import { newBuilder } from '../ops/index.ts'
import { RandomStream } from '../support/random.ts'
import { type Dim, evaluateDim } from '../tensor/dim.ts'
import { f32, type HostTensor, i64, sizeOf, tensor } from '../tensor/host-tensor.ts'
import type { Engine, Tensors } from './engine.ts'
import { prepare } from './prepare.ts'

type Shape = readonly Dim[]

/** Declares a case's inputs, each with how its values are drawn. */
export interface CaseInputs {
  readonly g: Builder
  /** Standard normal unless `draw` says otherwise. */
  f32(name: string, shape: Shape, draw?: (random: RandomStream) => number): Node
  /** Integers in [0, below). */
  ids(name: string, shape: Shape, below: number): Node
  /** Any u32. */
  bits(name: string, shape: Shape): Node
  /** Exactly these integers. */
  i64(name: string, values: readonly number[], shape?: readonly number[]): Node
  weight(name: string, shape: readonly number[]): Node
  state(name: string, shape: readonly number[]): Node
}

export interface EngineCase {
  readonly name: string
  /** Values of the symbolic dimensions, one record for each run. @default one run without symbols */
  readonly runs?: readonly Readonly<Record<string, number>>[]
  /** State input → output that becomes its next value. */
  readonly state?: Readonly<Record<string, string>>
  /** Float inputs whose derivative is not meant to be checked (masks, scales that carry none). */
  readonly frozen?: readonly string[]
  /** What the last run gives, where it is known without an engine. */
  readonly expected?: Readonly<Record<string, readonly number[]>>
  build(c: CaseInputs): Readonly<Record<string, Node>>
}

/** A case with its values drawn. */
export interface DrawnCase {
  readonly graph: Graph
  readonly weights: ReadonlyMap<string, HostTensor>
  readonly state: Tensors
  readonly runs: readonly Tensors[]
  readonly dims: readonly ReadonlyMap<string, number>[]
}

export interface Tolerance {
  readonly relative: number
  readonly absolute: number
}

type Draw = (random: RandomStream, shape: readonly number[]) => HostTensor

/** Builds a case's graph and draws its values; the same on every machine. */
export function drawCase(test: EngineCase): DrawnCase {
  const draws = new Map<string, { kind: InputKind; type: TensorType; draw: Draw }>()
  const graph = graphOf(Object.entries(test.build(caseInputs(newBuilder(), draws))))
  const dims = (test.runs ?? [{}]).map((run) => new Map(Object.entries(run)))
  const drawn = (kind: InputKind, run: number): Record<string, HostTensor> => {
    const symbols = dims[run] ?? new Map<string, number>()
    const out: Record<string, HostTensor> = {}
    for (const [name, { kind: own, type, draw }] of draws) {
      if (own !== kind || !graph.inputs.has(name)) continue
      const shape = type.shape.map((d) => evaluateDim(d, symbols))
      out[name] = draw(new RandomStream(run, `${test.name}/${name}`), shape)
    }
    return out
  }
  return {
    graph,
    dims,
    weights: new Map(Object.entries(drawn('weight', 0))),
    state: drawn('state', 0),
    runs: dims.map((_, run) => drawn('feed', run)),
  }
}

function caseInputs(g: Builder, draws: Map<string, { kind: InputKind; type: TensorType; draw: Draw }>): CaseInputs {
  const declare = (name: string, kind: InputKind, type: TensorType, draw: Draw): Node => {
    draws.set(name, { kind, type, draw })
    return kind === 'feed'
      ? g.feed(name, type)
      : kind === 'weight'
        ? g.weight(name, type.shape)
        : g.state(name, type.shape)
  }
  const floats =
    (draw: (random: RandomStream) => number): Draw =>
    (random, shape) =>
      f32(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, () => draw(random)),
      )
  const normal = floats((random) => random.normal())
  return {
    g,
    f32: (name, shape, draw) => declare(name, 'feed', { dtype: 'f32', shape }, draw ? floats(draw) : normal),
    ids: (name, shape, below) =>
      declare(name, 'feed', { dtype: 'i64', shape }, (random, extents) =>
        i64(
          extents,
          Array.from({ length: sizeOf(extents) }, () => random.below(below)),
        ),
      ),
    bits: (name, shape) =>
      declare(name, 'feed', { dtype: 'u32', shape }, (random, extents) =>
        tensor(
          'u32',
          extents,
          Uint32Array.from({ length: sizeOf(extents) }, () => random.u32()),
        ),
      ),
    i64: (name, values, shape = [values.length]) =>
      declare(name, 'feed', { dtype: 'i64', shape }, (_, extents) => i64(extents, values)),
    weight: (name, shape) => declare(name, 'weight', { dtype: 'f32', shape }, normal),
    state: (name, shape) => declare(name, 'state', { dtype: 'f32', shape }, normal),
  }
}

/** Runs a case on an engine and on the oracle. Answers one line for each disagreement; none means it passes. */
export async function checkEngineCase(
  engine: Engine,
  oracle: Engine,
  test: EngineCase,
  tolerance: Tolerance,
): Promise<string[]> {
  const drawn = drawCase(test)
  const got = await answers(engine, test, drawn)
  const wanted = await answers(oracle, test, drawn)
  const problems = wanted.flatMap((outputs, run) =>
    Object.entries(outputs).flatMap(([name, want]) => {
      const problem = difference(got[run]?.[name], want, tolerance)
      return problem ? [`run ${run + 1}, '${name}': ${problem}`] : []
    }),
  )
  const last = got[drawn.runs.length - 1] ?? {}
  for (const [name, values] of Object.entries(test.expected ?? {})) {
    const want = f32([values.length], values)
    const problem = difference(last[name], { ...want, shape: last[name]?.shape ?? [] }, tolerance)
    if (problem) problems.push(`'${name}' is known by hand: ${problem}`)
  }
  return problems
}

/** Outputs of every run, then the state that is left. */
async function answers(engine: Engine, test: EngineCase, drawn: DrawnCase): Promise<Record<string, HostTensor>[]> {
  const graph = prepare(drawn.graph, engine.composites)
  const compiled = await engine.compile(graph, { weights: drawn.weights, state: test.state ?? {}, threads: 1 })
  try {
    await compiled.writeState(drawn.state)
    const out: Record<string, HostTensor>[] = []
    const fetch = [...graph.outputs.keys()]
    for (const feeds of drawn.runs) {
      const needed = Object.entries(feeds).filter(([name]) => graph.inputs.has(name))
      out.push(await compiled.run(Object.fromEntries(needed), { fetch }))
    }
    out.push(await compiled.readState())
    return out
  } finally {
    await compiled.dispose()
  }
}

/** Floats within `absolute + relative · max(|wanted|, root mean square of the tensor)`; everything else exactly equal. */
function difference(got: HostTensor | undefined, want: HostTensor, tolerance: Tolerance): string | undefined {
  if (!got) return 'is missing'
  if (got.shape.length !== want.shape.length || got.shape.some((d, i) => d !== want.shape[i]))
    return `has shape [${got.shape}], expected [${want.shape}]`
  const [x, y] = [Array.from(got.data, Number), Array.from(want.data, Number)]
  const size = Math.sqrt(y.reduce((sum, v) => sum + v * v, 0) / Math.max(1, y.length))
  const { absolute, relative } = want.dtype === 'f32' ? tolerance : { absolute: 0, relative: 0 }
  const at = y.findIndex((v, i) => {
    const own = x[i] ?? Number.NaN
    const close = Math.abs(own - v) <= absolute + relative * Math.max(Math.abs(v), Number.isFinite(size) ? size : 0)
    return !(close || Object.is(own, v) || own === v)
  })
  return at < 0 ? undefined : `element ${at} is ${x[at]}, expected ${y[at]}`
}
