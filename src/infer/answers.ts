/**
 * @file From the scores of a classifier to what it says: labels with probabilities, numbers, words with labels, entities.
 * Must not know graphs, engines or rows.
 */
import { entitySpans, isBio } from '../data/bio-labels.ts'
import type { HeadSpec } from '../formats/task.ts'

/** What a classifier says of a row. Which fields there are follows from its task. */
export interface ClassifyResult {
  /** Of a text: the likeliest label. */
  label?: string
  /** Its probability, 0 … 1. */
  score?: number
  /** The probability of each label, from the likeliest on. */
  scores?: Readonly<Record<string, number>>
  /** Of regression: the number. */
  value?: number
  /** Of a token classifier: each word that was read. */
  words?: readonly LabelledWord[]
  /** Where its labels are BIO: words that belong together. */
  entities?: readonly Entity[]
}

export interface LabelledWord {
  word: string
  label: string
  /** Its probability, 0 … 1. */
  score: number
  /** Where the word stands in its text, in UTF-16 units; absent where words were given. */
  start?: number
  end?: number
}

export interface Entity {
  /** The label without B- and I-. */
  label: string
  /** As in the text; given words are joined by spaces. */
  text: string
  /** The mean of its words' probabilities. */
  score: number
  /** Its first word, and the one after its last, among `words`. */
  words: [number, number]
  start?: number
  end?: number
}

/** A word as it was asked for; `read` says whether the model saw it. */
export interface AskedWord {
  readonly word: string
  readonly start?: number
  readonly end?: number
}

/** @param scores `f32[labels]`; `topK` keeps the likeliest */
export function answerText({ task, labels }: HeadSpec, scores: Float32Array, topK = labels.length): ClassifyResult {
  if (task === 'regression') return { value: scores[0] ?? 0 }
  const all = probabilities(scores)
  const order = [...all.keys()].sort((a, b) => (all[b] ?? 0) - (all[a] ?? 0))
  const [best = 0] = order
  const named = order.slice(0, topK).map((id): [string, number] => [labels[id] ?? '', all[id] ?? 0])
  return { label: labels[best] ?? '', score: all[best] ?? 0, scores: Object.fromEntries(named) }
}

/**
 * @param words those that the model read, in order
 * @param scores `f32[words, labels]`
 */
export function answerWords({ labels }: HeadSpec, words: readonly AskedWord[], scores: Float32Array): ClassifyResult {
  const width = labels.length
  const told = words.map(({ word, ...place }, i): LabelledWord => {
    const { label = '', score = 0 } = answerText(
      { task: 'classification', labels },
      scores.subarray(i * width, (i + 1) * width),
    )
    return { word, label, score, ...place }
  })
  return isBio(labels) ? { words: told, entities: entitiesOf(told) } : { words: told }
}

/** Softmax in f64. */
function probabilities(scores: Float32Array): number[] {
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const powers = Array.from(scores, (score) => Math.exp(score - largest))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / sum)
}

function entitiesOf(words: readonly LabelledWord[]): Entity[] {
  return entitySpans(words.map(({ label }) => label)).map(({ start, end }) =>
    entityOf(words.slice(start, end), [start, end]),
  )
}

function entityOf(own: readonly LabelledWord[], words: [number, number]): Entity {
  const [first, last] = [own[0], own.at(-1)]
  const text = own.reduce((all, { word, start = 0 }, i) => {
    const { end } = own[i - 1] ?? {}
    // Of a text the words stand as they stood there; the space between them is one.
    return i === 0 || (end !== undefined && end === start) ? all + word : `${all} ${word}`
  }, '')
  return {
    label: first?.label.slice(2) ?? '',
    text,
    score: own.reduce((sum, { score }) => sum + score, 0) / own.length,
    words,
    ...(first?.start === undefined ? {} : { start: first.start }),
    ...(last?.end === undefined ? {} : { end: last.end }),
  }
}
