/**
 * @file What an engine is: compiles a graph once, runs it many times, keeps state between runs.
 * Must not know models, adapters or training.
 */
import type { Graph, Phase } from '../graph/types.ts'
import type { CompositeName } from '../graph/vocabulary.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import type { WeightRef } from '../tensor/weight-ref.ts'

export type { WeightRef }

/** Frozen weights by the name their graph input has (Hugging Face's). Half-precision weights are computed with as f32. */
export type WeightSource = ReadonlyMap<string, WeightRef | HostTensor>

export function isWeightRef(source: WeightRef | HostTensor): source is WeightRef {
  return 'file' in source
}

export interface CompileOptions {
  readonly weights: WeightSource
  /** State input → output that becomes its value for the next run. An input absent here keeps what `writeState` set. */
  readonly state?: Readonly<Record<string, string>>
  /** Threads for the engine's own work. @default the machine's cores */
  readonly threads?: number
  /** Memory before speed: one copy of each weight, where a second one would make products faster. @default false */
  readonly lean?: boolean
  /** Keep times, for `profile`. An engine that cannot ignores it. */
  readonly profile?: boolean
  readonly signal?: AbortSignal
}

/** What one piece of an engine's work took, a run. */
export interface Timing {
  /** The node it is for; several pieces may belong to one. */
  readonly op: string
  readonly scope: string
  readonly phase: Phase
  /** The engine's own name of what ran. */
  readonly kernel: string
  readonly seconds: number
  /** Multiplications and additions of matrix products; 0 for everything else. */
  readonly flops: number
  /** Read and written. */
  readonly bytes: number
}

export interface Profile {
  /** Runs looked at: all but the first, which touches its memory for the first time. */
  readonly runs: number
  /** Of a run, on the clock. */
  readonly seconds: number
  /** In the order they ran, each the mean of all runs looked at. */
  readonly timings: readonly Timing[]
  /** Bytes of values held after each of `timings`, in the last run. */
  readonly held: readonly number[]
}

export interface RunOptions {
  /** Outputs to bring to the host. @default every output that is not state */
  readonly fetch?: readonly string[]
  readonly signal?: AbortSignal
}

export type Tensors = Readonly<Record<string, HostTensor>>

/** A product's smallest extent at which half of the full rate is reached: thin ones are bound by memory and packing. */
const HALF_RATE = 32

/** Operations that a large product would do in the time of one of `[m, k]` with `[k, n]`. */
export function fullRateOperations(m: number, n: number, k: number): number {
  const least = Math.min(m, n, k)
  return least === 0 ? 0 : (2 * m * n * k * (least + HALF_RATE)) / least
}

/** What a run of a graph asks of a machine, before anything is compiled. */
export interface Workload {
  /** Operations of matrix products, as `fullRateOperations` counts them. */
  readonly products: number
  /** Bytes that everything else reads and writes. */
  readonly moved: number
  /** Kernels started. */
  readonly kernels: number
  /** Most bytes of values alive at once, state besides. */
  readonly values: number
  /** Bytes of frozen weights as the engine holds them. */
  readonly weights: number
  /** Bytes of state, of which a run holds the old and the new. */
  readonly state: number
}

/** A compiled graph. Runs of one executable follow each other; `dispose` waits for the one in flight. */
export interface Executable {
  run(feeds: Tensors, options?: RunOptions): Promise<Record<string, HostTensor>>
  /** Sets state inputs. A run before every state input is set throws. */
  writeState(values: Tensors): Promise<void>
  readState(names?: readonly string[]): Promise<Record<string, HostTensor>>
  /** Ends profiling. Absent where the engine keeps no times, or was not asked to. */
  profile?(): Promise<Profile>
  dispose(): Promise<void>
}

export interface Engine {
  readonly name: string
  /** Composite ops it has kernels for; all others are expanded before they reach `compile`. */
  readonly composites: ReadonlySet<CompositeName>
  /**
   * Estimates a run of a prepared graph, `dims` giving every symbol its value. Absent where an engine cannot tell.
   */
  workload?(graph: Graph, dims: ReadonlyMap<string, number>, options: Pick<CompileOptions, 'lean'>): Workload
  /** @throws LowrankError 'engine' naming every op it cannot lower and where it stands. */
  compile(graph: Graph, options: CompileOptions): Promise<Executable>
  dispose(): Promise<void>
}
