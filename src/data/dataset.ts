/**
 * @file Examples in compact memory: one array of ids, one of labels, and where each example begins.
 * Must not know files or formats.
 */
import { invariant, LowrankError } from '../support/errors.ts'
import { RandomStream } from '../support/random.ts'
import type { Example } from './example.ts'

/** All examples, in the order of the data. Immutable. */
export class Dataset {
  readonly length: number
  readonly #store: Store
  readonly #rows: Uint32Array

  /** Use {@link DatasetBuilder}; `rows` picks from the store. */
  constructor(store: Store, rows: Uint32Array) {
    this.#store = store
    this.#rows = rows
    this.length = rows.length
  }

  /** Tokens of example `index`. */
  lengthOf(index: number): number {
    const row = this.#row(index)
    return at(this.#store.starts, row + 1) - at(this.#store.starts, row)
  }

  /** Example `index`; its arrays are views, not copies. */
  example(index: number): Example {
    const row = this.#row(index)
    const [start, end] = [at(this.#store.starts, row), at(this.#store.starts, row + 1)]
    const labels = this.#store.labels.subarray(start, end)
    const { types, targets } = this.#store
    return {
      ids: this.#store.ids.subarray(start, end),
      labels,
      ...(types ? { types: types.subarray(start, end) } : {}),
      ...(targets ? { target: targets[labels[0] ?? 0] ?? 0 } : {}),
      place: at(this.#store.places, row),
      source: this.#store.nameOf(at(this.#store.sources, row), at(this.#store.lines, row)),
    }
  }

  *[Symbol.iterator](): Generator<Example> {
    for (let index = 0; index < this.length; index++) yield this.example(index)
  }

  /** A view of some examples, in the order given. */
  select(indices: ArrayLike<number>): Dataset {
    return new Dataset(
      this.#store,
      Uint32Array.from(indices, (index) => this.#row(index)),
    )
  }

  #row(index: number): number {
    return at(this.#rows, index)
  }
}

/** Where examples lie. */
interface Store {
  readonly ids: Int32Array
  readonly labels: Int32Array
  /** Absent where all are 0. */
  readonly types: Uint8Array | undefined
  /** Of regression rows, the number for each of their labels. */
  readonly targets: Float64Array | undefined
  /** First token of each row, and the end of the last. */
  readonly starts: Float64Array
  readonly places: Uint32Array
  readonly sources: Uint32Array
  readonly lines: Uint32Array
  readonly nameOf: (source: number, line: number) => string
}

/** Grows a dataset row by row. */
export class DatasetBuilder {
  #ids = new Int32Array(1024)
  #labels = new Int32Array(1024)
  #types: Uint8Array<ArrayBuffer> | undefined
  readonly #starts: number[] = [0]
  readonly #places: number[] = []
  readonly #sources: number[] = []
  readonly #lines: number[] = []
  readonly #nameOf: (source: number, line: number) => string

  constructor(nameOf: (source: number, line: number) => string) {
    this.#nameOf = nameOf
  }

  get length(): number {
    return this.#places.length
  }

  add(
    {
      ids,
      labels,
      types,
    }: { ids: readonly number[]; labels: readonly number[]; types?: readonly number[] | undefined },
    place: number,
    source: number,
    line: number,
  ): void {
    invariant(ids.length === labels.length, 'an example needs a label a token')
    const start = this.#starts.at(-1) ?? 0
    const end = start + ids.length
    if (end > this.#ids.length) {
      const capacity = Math.max(end, this.#ids.length * 2)
      this.#ids = grown(this.#ids, capacity)
      this.#labels = grown(this.#labels, capacity)
    }
    this.#ids.set(ids, start)
    this.#labels.set(labels, start)
    if (types?.some((type) => type !== 0)) this.#typesFrom(end).set(types, start)
    this.#starts.push(end)
    this.#places.push(place)
    this.#sources.push(source)
    this.#lines.push(line)
  }

  #typesFrom(end: number): Uint8Array {
    if (!this.#types || this.#types.length < end) {
      const larger = new Uint8Array(Math.max(end, this.#ids.length))
      if (this.#types) larger.set(this.#types)
      this.#types = larger
    }
    return this.#types
  }

  /** @param meaning what the labels so far stand for: other labels, or numbers to come close to */
  build(meaning: { labels?: readonly number[] | undefined; targets?: readonly number[] | undefined } = {}): Dataset {
    const end = this.#starts.at(-1) ?? 0
    const { labels, targets } = meaning
    const translated = (label: number): number => (label < 0 ? label : (labels?.[label] ?? label))
    const store: Store = {
      ids: this.#ids.slice(0, end),
      labels: this.#labels.slice(0, end).map(translated),
      types: this.#types && cutTo(this.#types, end),
      targets: targets && Float64Array.from(targets),
      starts: Float64Array.from(this.#starts),
      places: Uint32Array.from(this.#places),
      sources: Uint32Array.from(this.#sources),
      lines: Uint32Array.from(this.#lines),
      nameOf: this.#nameOf,
    }
    return new Dataset(
      store,
      Uint32Array.from({ length: this.length }, (_, row) => row),
    )
  }
}

/** A dataset of arrays in memory, as tests and the library make them. Without labels every token is one. */
export function datasetOf(
  rows: Iterable<{ ids: readonly number[]; labels?: readonly number[]; types?: readonly number[] }>,
): Dataset {
  const builder = new DatasetBuilder((_, line) => `rows:${line}`)
  for (const { ids, labels = ids, types } of rows)
    builder.add({ ids, labels, types }, builder.length, 0, builder.length + 1)
  return builder.build()
}

/**
 * Holds out a share of the examples, at least one, chosen by the seed alone; both parts keep the data's order.
 * @throws LowrankError `usage` where the share or the data leaves one part empty
 */
export function splitDataset(data: Dataset, share: number, seed: number): { train: Dataset; held: Dataset } {
  const count = Math.max(1, Math.round(data.length * share))
  if (!(share > 0 && share < 1) || count >= data.length)
    throw new LowrankError('usage', `a share of ${share} cannot be held out of ${data.length} rows`, {
      field: 'evalSplit',
    })
  const chosen = new RandomStream(seed, 'data/eval-split').permutation(data.length).subarray(0, count)
  const held = new Uint8Array(data.length)
  for (const index of chosen) held[index] = 1
  const pick = (flag: number) => data.select(Array.from(held.keys()).filter((index) => held[index] === flag))
  return { train: pick(0), held: pick(1) }
}

function grown(array: Int32Array<ArrayBuffer>, capacity: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(capacity)
  larger.set(array)
  return larger
}

/** The first `length` types; those that were never set are 0. */
function cutTo(array: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  out.set(array.subarray(0, length))
  return out
}

function at(array: Uint32Array | Float64Array, index: number): number {
  const value = array[index]
  invariant(value !== undefined, `no entry ${index} among ${array.length}`)
  return value
}
