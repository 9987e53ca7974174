/** @file What the main thread and the worker say to each other. Tensors are named as the ONNX model names them. */
import type { Profile } from '../../engine/engine.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import type { MaskDraw } from './masks.ts'

export type NamedTensors = Readonly<Record<string, HostTensor>>

export interface SessionSettings {
  readonly threads: number
  /** Keep one copy of each weight, the mapped one, where products would pack their own. */
  readonly sharesWeights: boolean
  /** Plan one block of memory a set of input shapes. */
  readonly plansMemory: boolean
  /** Turn half-precision weights into f32 once, at load. */
  readonly foldsCasts: boolean
  /** Keep times of every node. */
  readonly profiles: boolean
}

export type Request =
  | {
      readonly kind: 'compile'
      readonly model: Uint8Array
      readonly held: NamedTensors
      readonly settings: SessionSettings
    }
  | {
      readonly kind: 'run'
      readonly session: number
      readonly feeds: NamedTensors
      /** Masks to draw from what is fed. */
      readonly masks: readonly MaskDraw[]
      /** Values to send back. */
      readonly fetch: readonly string[]
      /** State that the run replaces. */
      readonly carry: readonly Carry[]
    }
  | { readonly kind: 'write'; readonly session: number; readonly values: NamedTensors }
  | { readonly kind: 'read'; readonly session: number; readonly names: readonly string[] }
  | { readonly kind: 'profile'; readonly session: number }
  | { readonly kind: 'release'; readonly session: number }

/** A state input, and the value that becomes its next one. */
export interface Carry {
  readonly input: string
  readonly value: string
  /** Both have one shape, whatever is fed: the memory of the last value but one serves again. */
  readonly keepsShape: boolean
}

export interface Envelope {
  readonly id: number
  readonly request: Request
}

/** `session` answers compile; `tensors` answers run and read; `profile` what it is called after. */
export interface Answer {
  readonly session: number
  readonly tensors: NamedTensors
  readonly profile?: Profile
}

export type Reply = ({ readonly id: number } & Answer) | { readonly id: number; readonly error: string }

/** What the worker is born with: a counter of requests sent and not yet answered, for draining at exit. */
export interface WorkerStart {
  readonly inFlight: SharedArrayBuffer
}
