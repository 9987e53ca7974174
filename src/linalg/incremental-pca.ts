/**
 * @file Principal components of rows that come in batches (Ross et al., Incremental learning for robust visual tracking,
 * 2008; the update of scikit-learn's IncrementalPCA). Must not know what the rows are.
 */
import { addScaled, dot, type Matrix, matrix, row, scaleBy, transpose } from './matrix.ts'
import { topSvd } from './svd.ts'

export class IncrementalPca {
  readonly #most: number
  #seen = 0
  #mean: Float64Array | undefined
  /** Sum of squared deviations of each column. */
  #deviations: Float64Array | undefined
  #components: Matrix | undefined
  #values = new Float64Array(0)

  /** @param most components to keep */
  constructor(most: number) {
    this.#most = most
  }

  /** Components as rows, f64[k, width], from the largest value on; none before the first batch. */
  get components(): Matrix | undefined {
    return this.#components
  }

  get singularValues(): Float64Array {
    return this.#values
  }

  /** Share of the whole variance that each component explains. */
  get explained(): Float64Array {
    const whole = (this.#deviations ?? new Float64Array(0)).reduce((sum, value) => sum + value, 0)
    return this.#values.map((value) => (whole > 0 ? value ** 2 / whole : 0))
  }

  /** Takes a batch of rows, f64[n, width], into account. `batch` is changed. */
  add(batch: Matrix): void {
    const mean = meanOf(batch)
    const deviations = new Float64Array(batch.columns)
    for (let i = 0; i < batch.rows; i++) {
      const x = row(batch, i)
      addScaled(x, mean, -1)
      for (let j = 0; j < x.length; j++) deviations[j] = (deviations[j] ?? 0) + (x[j] ?? 0) ** 2
    }
    const stacked = this.#stack(batch, mean)
    this.#count(batch.rows, mean, deviations)
    const rank = Math.min(this.#most, stacked.rows, stacked.columns)
    const { s, v } = topSvd(stacked, rank)
    this.#values = Float64Array.from(s)
    this.#components = transpose(v)
    makePositive(this.#components)
  }

  /** What is known, the batch, and the step between their means: one matrix with the scatter of all rows. */
  #stack(batch: Matrix, mean: Float64Array): Matrix {
    if (!this.#components || !this.#mean) return batch
    const { rows: k, columns } = this.#components
    const out = matrix(k + batch.rows + 1, columns)
    out.data.set(this.#components.data)
    for (let i = 0; i < k; i++) scaleBy(row(out, i), this.#values[i] ?? 0)
    out.data.set(batch.data, k * columns)
    const last = row(out, k + batch.rows)
    last.set(this.#mean)
    addScaled(last, mean, -1)
    scaleBy(last, Math.sqrt((this.#seen / (this.#seen + batch.rows)) * batch.rows))
    return out
  }

  #count(rows: number, mean: Float64Array, deviations: Float64Array): void {
    const total = this.#seen + rows
    const before = this.#mean ?? mean
    const old = this.#deviations ?? new Float64Array(mean.length)
    this.#deviations = old.map((value, j) => {
      const step = (mean[j] ?? 0) - (before[j] ?? 0)
      return value + (deviations[j] ?? 0) + ((this.#seen * rows) / total) * step * step
    })
    this.#mean = before.map((value, j) => value + (rows / total) * ((mean[j] ?? 0) - value))
    this.#seen = total
  }
}

function meanOf(batch: Matrix): Float64Array {
  const mean = new Float64Array(batch.columns)
  for (let i = 0; i < batch.rows; i++) addScaled(mean, row(batch, i), 1 / batch.rows)
  return mean
}

/** Each component's largest element positive, so that versions of it can be compared. */
function makePositive(components: Matrix): void {
  for (let i = 0; i < components.rows; i++) {
    const component = row(components, i)
    let largest = 0
    for (const value of component) if (Math.abs(value) > Math.abs(largest)) largest = value
    if (largest < 0) scaleBy(component, -1)
  }
}

/** Cosines between rows of equal number; 0 where there is no counterpart. */
export function rowCosines(a: Matrix, b: Matrix): Float64Array {
  return Float64Array.from({ length: a.rows }, (_, i) => {
    if (i >= b.rows) return 0
    const [x, y] = [row(a, i), row(b, i)]
    const size = Math.sqrt(dot(x, x) * dot(y, y))
    return size > 0 ? dot(x, y) / size : 0
  })
}
