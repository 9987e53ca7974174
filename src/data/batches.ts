/**
 * @file The stream of optimizer steps over a dataset: order, bucketing, packing and accumulation. Step i of epoch e is a
 * pure function of the options, so a cursor of two numbers is all there is to save.
 * Must not know engines or losses.
 */
import { invariant, LowrankError } from '../support/errors.ts'
import type { Batch } from './batch.ts'
import { type CollateOptions, collate } from './collate.ts'
import type { Dataset } from './dataset.ts'
import { bucketed, byLength, fileOrder, shuffled } from './epoch-order.ts'
import type { Example } from './example.ts'
import { type Masking, masked } from './masking.ts'
import { packDecreasing, packInOrder } from './packing.ts'

/**
 * `shuffle`: a new order an epoch, rows of like length together. `file`: as the data stands, consecutive. `length`: from
 * short to long, for evaluation.
 */
export type RowOrder = 'shuffle' | 'file' | 'length'

export interface BatchesOptions extends CollateOptions {
  /** Rows of a micro-batch: examples, or packed rows. */
  batchSize: number
  /** Micro-batches of one optimizer step. Default 1. */
  gradAccumulation?: number
  /** Default `shuffle`. */
  order?: RowOrder
  /** The data seed. Default 0. */
  seed?: number
  /** Several examples a row of at most this many tokens; absent: one example a row. */
  packInto?: number | undefined
  /** Tokens to mask, drawn anew each epoch. */
  masking?: Masking | undefined
}

/** Where the stream stands: the step it gives next. */
export interface DataCursor {
  /** From 0. */
  epoch: number
  /** Step within the epoch, from 0. */
  index: number
}

/** Data of one optimizer step. */
export interface StepData {
  epoch: number
  index: number
  /** At most `gradAccumulation`, each of at most `batchSize` rows; fewer at the end of an epoch. */
  batches: Batch[]
  /** Labels over all batches: what the loss divides by. */
  labelled: number
}

/** Endless: after the last step of an epoch comes the first of the next. */
export class Batches implements Iterable<StepData> {
  /** Steps of an epoch; the last may be smaller. */
  readonly stepsPerEpoch: number
  /** Rows of an epoch: examples, or packed rows. */
  readonly rows: number
  readonly #data: Dataset
  readonly #options: BatchesOptions
  readonly #packed: readonly (readonly number[])[] | undefined
  readonly #stepRows: number
  #cursor: DataCursor
  #order: { epoch: number; rows: Uint32Array } | undefined

  /** @param cursor where to begin, as {@link cursor} gave it */
  constructor(data: Dataset, options: BatchesOptions, cursor: DataCursor = { epoch: 0, index: 0 }) {
    const accumulation = options.gradAccumulation ?? 1
    for (const [name, value] of Object.entries({ batchSize: options.batchSize, gradAccumulation: accumulation }))
      if (!Number.isInteger(value) || value < 1)
        throw new LowrankError('usage', `${name} is ${value}, and must be a whole number from 1`, { field: name })
    if (data.length === 0) throw new LowrankError('data', 'there are no rows to make batches of')
    this.#data = data
    this.#options = options
    this.#stepRows = options.batchSize * accumulation
    this.#packed = packed(data, options)
    this.rows = this.#packed?.length ?? data.length
    this.stepsPerEpoch = Math.ceil(this.rows / this.#stepRows)
    this.#cursor = normalized(cursor, this.stepsPerEpoch)
  }

  get cursor(): DataCursor {
    return this.#cursor
  }

  /** Step `index` of an epoch. @throws LowrankError `data` where one of its batches has no label */
  step(epoch: number, index: number): StepData {
    invariant(index >= 0 && index < this.stepsPerEpoch, `step ${index} of ${this.stepsPerEpoch}`)
    const rows = this.#orderOf(epoch).subarray(index * this.#stepRows, (index + 1) * this.#stepRows)
    const batches: Batch[] = []
    for (let start = 0; start < rows.length; start += this.#options.batchSize) {
      const chosen = Array.from(rows.subarray(start, start + this.#options.batchSize), (row) =>
        this.#examplesOf(row, epoch),
      )
      batches.push(collate(chosen, this.#options))
    }
    const labelled = batches.reduce((sum, batch) => sum + batch.labels.data.length, 0)
    return { epoch, index, batches, labelled }
  }

  /** The next step; the cursor moves past it. */
  next(): StepData {
    const { epoch, index } = this.#cursor
    const step = this.step(epoch, index)
    this.#cursor = normalized({ epoch, index: index + 1 }, this.stepsPerEpoch)
    return step
  }

  /** From the cursor on, without end. */
  *[Symbol.iterator](): Generator<StepData, never> {
    for (;;) yield this.next()
  }

  /** All steps of one epoch; leaves the cursor alone. */
  *epoch(epoch = 0): Generator<StepData> {
    for (let index = 0; index < this.stepsPerEpoch; index++) yield this.step(epoch, index)
  }

  #examplesOf(row: number, epoch: number): Example[] {
    const { masking } = this.#options
    const examples = (this.#packed?.[row] ?? [row]).map((index) => this.#data.example(index))
    return masking ? examples.map((example) => masked(example, masking, epoch)) : examples
  }

  #orderOf(epoch: number): Uint32Array {
    const kept = this.#order
    if (kept?.epoch === epoch) return kept.rows
    const { order = 'shuffle', seed = 0 } = this.#options
    const lengthOf = (row: number) => this.#lengthOf(row)
    let rows: Uint32Array
    if (order === 'file') rows = fileOrder(this.rows)
    else if (order === 'length') rows = byLength(lengthOf, this.rows)
    else if (this.#packed !== undefined) rows = shuffled(this.rows, seed, epoch)
    else rows = bucketed(lengthOf, this.rows, this.#stepRows, seed, epoch)
    this.#order = { epoch, rows }
    return rows
  }

  #lengthOf(row: number): number {
    const indices = this.#packed?.[row]
    return indices === undefined ? this.#data.lengthOf(row) : sum(indices, (index) => this.#data.lengthOf(index))
  }
}

/** Rows are packed once, not each epoch: the number of steps is then known beforehand and the same for all epochs. */
function packed(data: Dataset, options: BatchesOptions): number[][] | undefined {
  if (options.packInto === undefined) return undefined
  const lengthOf = (index: number) => data.lengthOf(index)
  if (options.order === 'file') return packInOrder(fileOrder(data.length), lengthOf, options.packInto)
  return packDecreasing(shuffled(data.length, options.seed ?? 0, -1), lengthOf, options.packInto)
}

function normalized({ epoch, index }: DataCursor, stepsPerEpoch: number): DataCursor {
  return index < stepsPerEpoch ? { epoch, index } : { epoch: epoch + 1, index: 0 }
}

function sum(values: readonly number[], of: (value: number) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}
