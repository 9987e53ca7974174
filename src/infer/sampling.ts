/**
 * @file Which token comes next: transformers' processors in its order (repetition penalty, then temperature, top-k,
 * top-p, min-p) and a draw whose randomness follows from the request's seed and the token's number alone.
 * Must not know models or text. Source: transformers `generation/logits_process.py`.
 */
import { LowrankError } from '../support/errors.ts'
import { RandomStream } from '../support/random.ts'

export interface SamplingSettings {
  /** 0 takes the likeliest token. */
  readonly temperature: number
  /** Only this many likeliest tokens; 0: all. */
  readonly topK: number
  /** Only the likeliest tokens that together hold this probability; 1: all. */
  readonly topP: number
  /** Only tokens of at least this share of the likeliest's probability; 0: all. */
  readonly minP: number
  /** Above 1 makes tokens of the prompt and the answer less likely; 1: as they are. */
  readonly repetitionPenalty: number
  readonly seed: number
}

export const GREEDY: SamplingSettings = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 }

/** Draws the tokens of one request. */
export class Sampler {
  readonly #settings: SamplingSettings
  readonly #random: RandomStream
  readonly #seen: Set<number>

  /** @param prompt its tokens count as seen for the repetition penalty */
  constructor(settings: SamplingSettings, prompt: readonly number[]) {
    this.#settings = settings
    this.#random = new RandomStream(settings.seed, 'sampling')
    this.#seen = new Set(prompt)
  }

  /**
   * The next token.
   * @param logits `f32[vocab]`; not changed
   * @throws LowrankError `numeric` where a logit is not a number, or none is finite
   */
  next(logits: Float32Array): number {
    const { temperature, repetitionPenalty } = this.#settings
    const scores = repetitionPenalty === 1 ? logits : penalized(logits, this.#seen, repetitionPenalty)
    const best = argmax(scores)
    const token = temperature === 0 ? best : draw(keptTokens(scores, this.#settings), this.#random.uniform())
    this.#seen.add(token)
    return token
  }
}

/** Tokens that may be drawn, by id, with their probabilities (which sum to 1). */
export interface Distribution {
  readonly ids: Int32Array
  readonly probabilities: Float64Array
}

/** What a token is drawn from, after every processor. @param logits `f32[vocab]` */
export function distribution(logits: Float32Array, seen: Iterable<number>, settings: SamplingSettings): Distribution {
  return keptTokens(penalized(logits, seen, settings.repetitionPenalty), settings)
}

function penalized(logits: Float32Array, seen: Iterable<number>, penalty: number): Float32Array {
  const scores = logits.slice()
  for (const id of new Set(seen)) {
    const score = scores[id]
    if (score !== undefined) scores[id] = score < 0 ? score * penalty : score / penalty
  }
  return scores
}

function argmax(scores: Float32Array): number {
  let best = 0
  let top = Number.NEGATIVE_INFINITY
  let nan = -1
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] ?? 0
    if (score > top) {
      top = score
      best = i
    } else if (Number.isNaN(score)) nan = i
  }
  if (nan >= 0 || !Number.isFinite(top))
    throw new LowrankError('numeric', `the model gave ${nan >= 0 ? 'NaN' : top} as the score of a token`, {
      suggestion: 'its weights or the adapter’s hold values that are not finite or too large',
    })
  return best
}

function keptTokens(scores: Float32Array, { temperature, topK, topP, minP }: SamplingSettings): Distribution {
  const top = scores[argmax(scores)] ?? 0
  const threshold = topK > 0 && topK < scores.length ? kthLargest(scores, topK) : Number.NEGATIVE_INFINITY
  let kept: Candidate[] = []
  // Shares of the likeliest's probability: the scale min-p thinks in, and safe from overflow.
  for (const [id, score] of scores.entries())
    if (score >= threshold) kept.push({ id, share: Math.exp((score - top) / temperature) })
  if (topP < 1) kept = nucleus(kept, topP)
  if (minP > 0) kept = kept.filter(({ share }) => share >= minP)
  const total = sum(kept)
  return {
    ids: Int32Array.from(kept, ({ id }) => id),
    probabilities: Float64Array.from(kept, ({ share }) => share / total),
  }
}

interface Candidate {
  readonly id: number
  readonly share: number
}

/** Ties with the k-th are kept, as transformers does. */
function kthLargest(scores: Float32Array, k: number): number {
  const sorted = scores.slice().sort()
  return sorted[sorted.length - k] ?? Number.NEGATIVE_INFINITY
}

/** The likeliest tokens until their sum reaches `topP`, the one that reaches it included; in the order of ids. */
function nucleus(candidates: readonly Candidate[], topP: number): Candidate[] {
  const total = sum(candidates)
  // Tokens below this hold less than 1 − topP together, so none of them can be in: few are left to sort.
  const floor = (total * (1 - topP)) / candidates.length
  const likely = candidates.filter(({ share }) => share > floor).sort((a, b) => b.share - a.share)
  let before = 0
  const end = likely.findIndex(({ share }, rank) => {
    if (rank > 0 && before >= topP * total) return true
    before += share
    return false
  })
  return likely.slice(0, end === -1 ? likely.length : end).sort((a, b) => a.id - b.id)
}

function draw({ ids, probabilities }: Distribution, uniform: number): number {
  let reached = 0
  for (let i = 0; i < ids.length; i++) {
    reached += probabilities[i] ?? 0
    if (uniform < reached) return ids[i] ?? 0
  }
  return ids.at(-1) ?? 0 // the sum may end a rounding error below 1
}

function sum(candidates: readonly Candidate[]): number {
  let total = 0
  for (const { share } of candidates) total += share
  return total
}
