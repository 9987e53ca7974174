/**
 * @file Metrics of a model's logits, gathered batch by batch: which of them follows from its task.
 * Must not know engines or files.
 */
import type { Batch } from '../data/batch.ts'
import { isBio } from '../data/bio-labels.ts'
import type { HeadSpec } from '../formats/task.ts'
import { classMetrics, confusion, entityMetrics, type Metrics, numberMetrics, type Predictions } from './metrics.ts'

/** What was told of rows, to be shown. */
export type Told =
  | {
      readonly kind: 'classes'
      readonly labels: readonly string[]
      /** `[actual][predicted]`. */
      readonly counts: readonly (readonly number[])[]
    }
  /** Pairs of the number of a row and the number told; of many rows, some. */
  | { readonly kind: 'numbers'; readonly points: readonly (readonly [number, number])[] }

/** More points than a picture shows. */
const MOST_POINTS = 2000

export class Measure {
  readonly #head: HeadSpec
  readonly #predicted: number[] = []
  readonly #actual: number[] = []
  /** Of token classifiers, where each text begins among them. */
  readonly #starts: number[] = []

  constructor(head: HeadSpec) {
    this.#head = head
  }

  /** @param logits `f32[labelled, labels]`, in the order of the batch's labels */
  add(batch: Batch, logits: Float32Array): void {
    const { task, labels } = this.#head
    const width = Math.max(1, labels.length)
    const [, seq = 1] = batch.ids.shape
    let text = ''
    for (let i = 0; i < batch.labels.data.length; i++) {
      const row = Number(batch.labelRows.data[i])
      const place = `${Math.floor(row / seq)} ${batch.segments.data[row]}`
      if (place !== text) this.#starts.push(this.#actual.length)
      text = place
      const values = logits.subarray(i * width, (i + 1) * width)
      this.#predicted.push(task === 'regression' ? (values[0] ?? 0) : largest(values))
      this.#actual.push(task === 'regression' ? (batch.targets?.data[i] ?? 0) : Number(batch.labels.data[i]))
    }
  }

  /** Empty for tasks that are measured by their loss alone, or where nothing was added. */
  metrics(): Metrics {
    const { task, labels } = this.#head
    const all = this.#all()
    if (all.actual.length === 0) return {}
    if (task === 'regression') return numberMetrics(all)
    const metrics = classMetrics(all, labels.length)
    if (task !== 'token-classification' || !isBio(labels)) return metrics
    return { ...metrics, ...entityMetrics(this.#texts(), labels) }
  }

  /** `[actual][predicted]` counts of a classifier. */
  confusion(): number[][] | undefined {
    const { task, labels } = this.#head
    return task === 'regression' || labels.length === 0 ? undefined : confusion(this.#all(), labels.length)
  }

  /** Nothing for tasks that are measured by their loss alone. */
  told(): Told | undefined {
    const { task, labels } = this.#head
    const counts = this.confusion()
    if (this.#actual.length === 0) return undefined
    if (counts) return { kind: 'classes', labels, counts }
    if (task !== 'regression') return undefined
    const every = Math.ceil(this.#actual.length / MOST_POINTS)
    const points = this.#actual.flatMap((actual, i): [number, number][] =>
      i % every === 0 ? [[actual, this.#predicted[i] ?? 0]] : [],
    )
    return { kind: 'numbers', points }
  }

  #all(): Predictions {
    return { predicted: this.#predicted, actual: this.#actual }
  }

  #texts(): Predictions[] {
    return this.#starts.map((start, i) => ({
      predicted: this.#predicted.slice(start, this.#starts[i + 1]),
      actual: this.#actual.slice(start, this.#starts[i + 1]),
    }))
  }
}

function largest(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i
  return best
}
