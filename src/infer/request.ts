/** @file What generation is asked for and what it gives. Holds no behaviour. */
import type { AdapterUse } from './loaded-adapter.ts'
import type { SamplingSettings } from './sampling.ts'

export interface GenerationRequest {
  /** The prompt's token ids. */
  readonly ids: readonly number[]
  /** New tokens at most. */
  readonly maxTokens: number
  /** @default greedy */
  readonly sampling?: Partial<SamplingSettings> | undefined
  /** Adapters that act on this request; none: the base as it is. */
  readonly adapters?: readonly AdapterUse[] | undefined
  /** Texts to end before; needs a tokenizer. */
  readonly stop?: readonly string[] | undefined
  /** Go on after tokens that end a text. */
  readonly ignoreEos?: boolean | undefined
}

export interface GenerationResult {
  /** New tokens, the one that ended the text included. */
  readonly ids: number[]
  /** Their text without special tokens, cut before a stop string; '' without a tokenizer. */
  readonly text: string
  /** `length`: at `maxTokens`, or at the model's longest sample. */
  readonly finishReason: 'stop' | 'length'
  /** New tokens over the time from the start of its batch to its end. */
  readonly tokensPerSecond: number
}

/** Text of one request that became certain. */
export interface GenerationPiece {
  /** Place of the request among those given. */
  readonly request: number
  readonly text: string
}
