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
  /** @throws LowrankError 'engine' naming every op it cannot lower and where it stands. */
  compile(graph: Graph, options: CompileOptions): Promise<Executable>
  dispose(): Promise<void>
}
