/**
 * @file Reads texts with a base and the adapters on it: rows are put into batches by length, each row answered by its
 * own seat, and results come in the order of the rows. Must not know files, text or what the numbers mean.
 */
import { collate } from '../data/collate.ts'
import { byLength } from '../data/epoch-order.ts'
import { type Example, NO_LABEL } from '../data/example.ts'
import type { Engine, Executable, WeightSource } from '../engine/engine.ts'
import { forwardTensors } from '../models/forward-tensors.ts'
import type { FeedName } from '../models/model.ts'
import { activeTokens } from '../peft/activation.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { f32, type HostTensor, i64 } from '../tensor/host-tensor.ts'
import { compileFrozen } from './compile-frozen.ts'
import { activeOf, rowWeightOf } from './decode-graph.ts'
import { adapterWeights } from './loaded-adapter.ts'
import { buildReading, scoresOf, VECTORS, type Wanted } from './reading-graph.ts'
import { needsOwnBatch, type Seat } from './seat.ts'

export interface ReaderOptions {
  readonly engine: Engine
  readonly seats: readonly Seat[]
  readonly wanted: Wanted
  readonly threads?: number | undefined
  /** Rows of a batch at most. */
  readonly batchSize: number
  /** Ends compiling, which calls share; a call's own ends that call alone. */
  readonly signal?: AbortSignal | undefined
}

/** A text as the model reads it. */
export interface ReaderRow {
  readonly ids: Int32Array
  readonly types?: readonly number[] | undefined
  /** Name of the seat that answers. */
  readonly seat: string
  /** Tokens that a token classifier tells. */
  readonly tokens?: readonly number[] | undefined
  /** `file:line`. */
  readonly source: string
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
  /** Told once all is compiled, and after each batch: rows and tokens read so far. */
  readonly onBatch?: ((rows: number, tokens: number) => void) | undefined
}

/** Rows that one graph serves. */
interface Group {
  readonly key: string
  readonly seats: readonly Seat[]
}

interface Compiled {
  readonly executable: Executable
  /** Names of the graph's feeds. */
  readonly feeds: ReadonlySet<string>
}

export class Reader {
  readonly #options: ReaderOptions
  readonly #groups: ReadonlyMap<string, Group>
  readonly #compiled = new Map<string, Promise<Compiled>>()

  constructor(options: ReaderOptions) {
    this.#options = options
    const together = options.seats.filter((seat) => needsOwnBatch(seat) === undefined)
    this.#groups = new Map(
      options.seats.map((seat): [string, Group] => [
        seat.name,
        together.includes(seat) ? { key: 'together', seats: together } : { key: `alone ${seat.name}`, seats: [seat] },
      ]),
    )
  }

  /**
   * What is wanted of each row, in their order: scores `f32[labels]`, of a token classifier `f32[tokens, labels]`; or
   * `f32[hidden]`.
   * @throws LowrankError `numeric` naming the row, `stopped` once aborted
   */
  async read(rows: readonly ReaderRow[], { signal, onBatch }: ReadOptions = {}): Promise<Float32Array[]> {
    const found = new Array<Float32Array>(rows.length)
    const batches = this.#batches(rows)
    for (const { group } of batches) await this.#compile(group)
    let [done, tokens] = [0, 0]
    onBatch?.(done, tokens)
    for (const { group, places } of batches) {
      if (signal?.aborted) throw new LowrankError('stopped', 'stopped')
      const compiled = await this.#compile(group)
      const chosen = places.map((place) => rowAt(rows, place))
      const values = await this.#run(group, compiled, chosen, signal)
      places.forEach((place, i) => {
        const value = values[i]
        invariant(value, 'a row without its result')
        found[place] = value
      })
      done += places.length
      tokens += chosen.reduce((sum, { ids }) => sum + ids.length, 0)
      onBatch?.(done, tokens)
    }
    return found
  }

  /** Frees what was compiled; the engine stays the caller's. */
  async dispose(): Promise<void> {
    const compiled = [...this.#compiled.values()]
    this.#compiled.clear()
    for (const one of await Promise.allSettled(compiled))
      if (one.status === 'fulfilled') await one.value.executable.dispose()
  }

  /** Rows of one graph, those of like length together. */
  #batches(rows: readonly ReaderRow[]): { group: Group; places: number[] }[] {
    const { batchSize } = this.#options
    const byGroup = new Map<Group['key'], { group: Group; places: number[] }>()
    rows.forEach(({ seat }, place) => {
      const group = this.#groups.get(seat)
      invariant(group, `there is no seat ${seat}`)
      const entry = byGroup.get(group.key) ?? { group, places: [] }
      entry.places.push(place)
      byGroup.set(group.key, entry)
    })
    return [...byGroup.values()].flatMap(({ group, places }) => {
      const order = byLength((i) => rowAt(rows, places[i] ?? 0).ids.length, places.length)
      const sorted = Array.from(order, (i) => places[i] ?? 0)
      return Array.from({ length: Math.ceil(sorted.length / batchSize) }, (_, b) => ({
        group,
        places: sorted.slice(b * batchSize, (b + 1) * batchSize),
      }))
    })
  }

  async #compile(group: Group): Promise<Compiled> {
    const known = this.#compiled.get(group.key)
    if (known) return await known
    const compiled = this.#build(group)
    this.#compiled.set(group.key, compiled)
    compiled.catch(() => this.#compiled.delete(group.key)) // stopped or failed: the next call tries again
    return await compiled
  }

  async #build({ seats }: Group): Promise<Compiled> {
    const { engine, wanted, threads, signal } = this.#options
    const graph = buildReading(seats, wanted)
    const adapters = seats.flatMap(({ adapter }) => (adapter ? [adapter] : []))
    const weights: WeightSource = new Map([...seats.flatMap((seat) => [...seat.weights]), ...adapterWeights(adapters)])
    const options = { ...(threads === undefined ? {} : { threads }), ...(signal ? { signal } : {}) }
    const executable = await compileFrozen(engine, graph, { weights, ...options })
    const feeds = [...graph.inputs].flatMap(([name, { params }]) => (params.kind === 'feed' ? [name] : []))
    return { executable, feeds: new Set(feeds) }
  }

  async #run(
    { seats }: Group,
    { executable, feeds }: Compiled,
    rows: readonly ReaderRow[],
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const { wanted } = this.#options
    const { tensors, seq } = batchOf(rows, seats)
    const fed = Object.fromEntries(Object.entries(tensors).filter(([name]) => feeds.has(name)))
    const used = seats.filter(({ name }) => rows.some(({ seat }) => seat === name))
    const fetch = wanted === 'labels' ? used.map(({ name }) => scoresOf(name)) : [VECTORS]
    const out = await executable.run(fed, { fetch, ...(signal ? { signal } : {}) })
    return rows.map(({ seat, tokens, source }, i) => {
      const values = out[wanted === 'labels' ? scoresOf(seat) : VECTORS]
      invariant(values?.dtype === 'f32', 'a graph of reading gives numbers')
      const width = values.shape.at(-1) ?? 1
      const own =
        values.shape.length === 3
          ? joined(
              (tokens ?? []).map((at) => slice(values.data, i * seq + at, width)),
              width,
            )
          : slice(values.data, i, width)
      if (own.every(Number.isFinite)) return own
      throw new LowrankError('numeric', `${source}: the model gives numbers that are not finite`, {
        suggestion: 'the weights or the adapter hold values that are not finite or too large',
      })
    })
  }
}

/** Which of them a graph reads is known of the graph. */
const ALL_FEEDS: ReadonlySet<FeedName> = new Set(['ids', 'positions', 'segments', 'tokenTypes', 'columns'])

function rowAt(rows: readonly ReaderRow[], place: number): ReaderRow {
  const row = rows[place]
  invariant(row, `no row ${place}`)
  return row
}

function batchOf(
  rows: readonly ReaderRow[],
  seats: readonly Seat[],
): { tensors: Record<string, HostTensor>; seq: number } {
  const examples = rows.map(({ ids, types, source }, place): Example[] => {
    // The first token's label stands for the row's place in the batch alone.
    const labels = new Int32Array(ids.length).fill(NO_LABEL)
    labels[0] = 0
    return [{ ids, labels, place, source, ...(types ? { types: Uint8Array.from(types) } : {}) }]
  })
  const batch = collate(examples, { labelsAt: 'own' })
  const [, seq = 1] = batch.ids.shape
  const firstRows = i64(
    [rows.length],
    Array.from(rows, (_, row) => row * seq),
  )
  const tensors: Record<string, HostTensor> = { ...forwardTensors(batch, { reads: ALL_FEEDS }), firstRows }
  for (const { name, adapter } of seats) {
    const shares = rows.map(({ seat }) => Number(seat === name))
    tensors[rowWeightOf(name)] = f32([rows.length], shares)
    if (adapter?.layout.invocation)
      tensors[activeOf(name)] = activeTokens(batch.ids, batch.segments, adapter.layout.invocation)
  }
  return { tensors, seq }
}

function slice(data: Float32Array, at: number, width: number): Float32Array {
  return data.slice(at * width, (at + 1) * width)
}

function joined(parts: readonly Float32Array[], width: number): Float32Array {
  const whole = new Float32Array(parts.length * width)
  for (const [i, part] of parts.entries()) whole.set(part, i * width)
  return whole
}
