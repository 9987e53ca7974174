/**
 * @file How good predictions are beyond their loss: accuracy, macro F1 and Matthews of classes, Pearson and Spearman of
 * numbers, precision, recall and F1 of entities. Must not know models, graphs or where predictions come from.
 * Sources: scikit-learn's definitions; seqeval's for entities.
 */
import { entitySpans } from '../data/bio-labels.ts'

/** Numbers by name, each in −1 … 1. */
export type Metrics = Readonly<Record<string, number>>

/** What was predicted of labels `0 … classes − 1`, and what is so. */
export interface Predictions {
  readonly predicted: readonly number[]
  readonly actual: readonly number[]
}

/** `[actual][predicted]` counts. */
export function confusion({ predicted, actual }: Predictions, classes: number): number[][] {
  const counts = Array.from({ length: classes }, () => Array<number>(classes).fill(0))
  actual.forEach((label, i) => {
    const row = counts[label]
    const column = predicted[i] ?? 0
    if (row) row[column] = (row[column] ?? 0) + 1
  })
  return counts
}

/** What is said of one class. */
export interface ClassFigures {
  /** Times it is so, and times it was told. */
  readonly actual: number
  readonly predicted: number
  /** Shares, 0 … 1; absent where there is nothing to divide by. */
  readonly precision?: number
  readonly recall?: number
  readonly f1?: number
}

/** Of each class, from `[actual][predicted]` counts. */
export function classFigures(counts: readonly (readonly number[])[]): ClassFigures[] {
  return counts.map((row, i) => {
    const right = row[i] ?? 0
    const actual = row.reduce((a, b) => a + b, 0)
    const predicted = counts.reduce((sum, other) => sum + (other[i] ?? 0), 0)
    return {
      ...{ actual, predicted },
      ...(predicted > 0 ? { precision: right / predicted } : {}),
      ...(actual > 0 ? { recall: right / actual } : {}),
      ...(actual + predicted > 0 ? { f1: (2 * right) / (actual + predicted) } : {}),
    }
  })
}

/** `accuracy`, `macroF1` over the classes that occur in either, `matthews` (multi-class: Gorodkin 2004). */
export function classMetrics(predictions: Predictions, classes: number): Metrics {
  const counts = confusion(predictions, classes)
  const total = predictions.actual.length
  const right = counts.reduce((sum, row, i) => sum + (row[i] ?? 0), 0)
  const figures = classFigures(counts)
  const [actual, predicted] = [figures.map((one) => one.actual), figures.map((one) => one.predicted)]
  const f1 = figures.flatMap((one) => (one.f1 === undefined ? [] : [one.f1]))
  const product = (a: readonly number[], b: readonly number[]): number =>
    a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)
  const covariance = right * total - product(actual, predicted)
  const spread = Math.sqrt(total ** 2 - product(predicted, predicted)) * Math.sqrt(total ** 2 - product(actual, actual))
  return {
    accuracy: total === 0 ? 0 : right / total,
    macroF1: f1.length === 0 ? 0 : f1.reduce((a, b) => a + b, 0) / f1.length,
    matthews: spread === 0 ? 0 : covariance / spread,
  }
}

/** `pearson`, and `spearman` with ties at their mean rank; 0 where either side is constant. */
export function numberMetrics({ predicted, actual }: Predictions): Metrics {
  return { pearson: correlation(predicted, actual), spearman: correlation(ranks(predicted), ranks(actual)) }
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((x, y) => x + y, 0) / Math.max(1, values.length)
  const [meanA, meanB] = [mean(a), mean(b)]
  let [ab, aa, bb] = [0, 0, 0]
  a.forEach((x, i) => {
    const [offA, offB] = [x - meanA, (b[i] ?? 0) - meanB]
    ab += offA * offB
    aa += offA * offA
    bb += offB * offB
  })
  return aa === 0 || bb === 0 ? 0 : ab / (Math.sqrt(aa) * Math.sqrt(bb))
}

function ranks(values: readonly number[]): number[] {
  const order = [...values.keys()].sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
  const out = Array<number>(values.length).fill(0)
  for (let start = 0; start < order.length; ) {
    let end = start
    while (end + 1 < order.length && values[order[end + 1] ?? 0] === values[order[start] ?? 0]) end++
    for (let i = start; i <= end; i++) out[order[i] ?? 0] = (start + end) / 2
    start = end + 1
  }
  return out
}

/**
 * `precision`, `recall`, `f1` of whole entities: one is right where kind, beginning and end are.
 * @param sequences labels of the words of each text, in order
 */
export function entityMetrics(sequences: readonly Predictions[], labels: readonly string[]): Metrics {
  let [right, found, there] = [0, 0, 0]
  for (const { predicted, actual } of sequences) {
    const [a, b] = [entities(actual, labels), entities(predicted, labels)]
    there += a.size
    found += b.size
    for (const entity of b) if (a.has(entity)) right++
  }
  const [precision, recall] = [found === 0 ? 0 : right / found, there === 0 ? 0 : right / there]
  return { precision, recall, f1: precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall) }
}

/** `kind start end` of each. */
function entities(sequence: readonly number[], labels: readonly string[]): Set<string> {
  const spans = entitySpans(sequence.map((id) => labels[id] ?? 'O'))
  return new Set(spans.map(({ kind, start, end }) => `${kind} ${start} ${end}`))
}
