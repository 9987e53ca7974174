/**
 * @file One request while it is generated: its tokens so far, its text so far, and when it ends.
 * Must not know engines or other requests.
 */
import { invariant } from '../support/errors.ts'
import type { StreamDecoder } from '../text/stream-decoder.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import type { GenerationRequest, GenerationResult } from './request.ts'
import { Sampler, type SamplingSettings } from './sampling.ts'
import { StopText } from './stop-text.ts'

export interface SequenceOptions {
  readonly request: GenerationRequest
  readonly index: number
  readonly sampling: SamplingSettings
  readonly tokenizer: Tokenizer | undefined
  readonly stopIds: ReadonlySet<number>
  /** Tokens of prompt and answer at most. */
  readonly longest: number
}

export interface Sequence {
  readonly request: GenerationRequest
  /** Place of the request among those given. */
  readonly index: number
  /** Number of tokens of prompt and answer. */
  readonly length: number
  /** The token at a place of prompt and answer. */
  at(place: number): number | undefined
  readonly last: number
  readonly done: boolean
  start(): void
  /** Draws a token; gives the text that became certain. @param logits `f32[vocab]` */
  advance(logits: Float32Array): string
  result(): GenerationResult
}

export function createSequence(options: SequenceOptions): Sequence {
  const { request, index, sampling, tokenizer, stopIds, longest } = options
  const sampler = new Sampler(sampling, request.ids)
  const decoder: StreamDecoder | undefined = tokenizer?.streamDecoder()
  const stops = new StopText(request.stop)
  const ids: number[] = []
  let text = ''
  let finishReason: 'stop' | 'length' | undefined
  let [began, seconds] = [0, 0]

  function advance(logits: Float32Array): string {
    const id = sampler.next(logits)
    ids.push(id)
    const ended = stopIds.has(id)
    let piece = ended || !decoder ? '' : stops.push(decoder.push(id))
    if (ended || stops.stopped) finishReason = 'stop'
    else if (ids.length >= request.maxTokens || request.ids.length + ids.length >= longest) finishReason = 'length'
    if (finishReason !== undefined) {
      piece += finishText()
      seconds = (performance.now() - began) / 1000
    }
    text += piece
    return piece
  }

  /** What the decoder and the search for stop strings still held back. */
  function finishText(): string {
    const rest = decoder ? stops.push(decoder.end()) : ''
    if (stops.stopped) finishReason = 'stop'
    return rest + stops.end()
  }

  return {
    request,
    index,
    get length() {
      return request.ids.length + ids.length
    },
    at: (place) => (place < request.ids.length ? request.ids[place] : ids[place - request.ids.length]),
    get last() {
      return ids.at(-1) ?? request.ids.at(-1) ?? 0
    },
    get done() {
      return finishReason !== undefined
    },
    start() {
      began = performance.now()
    },
    advance,
    result() {
      invariant(finishReason !== undefined, 'a result before the end')
      return { ids, text, finishReason, tokensPerSecond: ids.length / Math.max(seconds, 1e-9) }
    },
  }
}
