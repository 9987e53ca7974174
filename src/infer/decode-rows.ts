/**
 * @file Runs one batch of sequences through a decode graph: the prompt in chunks, then a token a step, dropping rows
 * that have ended. Prompts of different lengths are padded on the right; padding is a segment of its own that no token
 * looks at, so it may stay among the cached keys. Must not know sampling or text.
 */
import type { Executable } from '../engine/engine.ts'
import { lastInvocation } from '../peft/activation.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { f32, type HostTensor, i64, sizeOf, type TypedTensor, tensor } from '../tensor/host-tensor.ts'
import { activeOf, type DecodeGraph, rowWeightOf } from './decode-graph.ts'
import type { GenerationPiece } from './request.ts'
import type { Sequence } from './sequence.ts'

/** What every run of a batch needs. */
export interface DecodeContext {
  readonly executable: Executable
  readonly decode: DecodeGraph
  /** Prompt tokens read in one run. */
  readonly promptChunk: number
  readonly signal: AbortSignal | undefined
}

/** Generates until every sequence has ended; yields text as it becomes certain. */
export async function* decodeRows(
  context: DecodeContext,
  sequences: readonly Sequence[],
): AsyncGenerator<GenerationPiece> {
  for (const sequence of sequences) sequence.start()
  let batch = new DecodeBatch(context, sequences)
  await batch.clear()
  let scores = await batch.readAll()
  for (;;) {
    for (const [row, sequence] of batch.sequences.entries()) {
      const logits = scores[row]
      if (sequence.done || !logits) continue
      const text = sequence.advance(logits)
      if (text !== '') yield { request: sequence.index, text }
    }
    const going = batch.sequences.filter((sequence) => !sequence.done).length
    if (going === 0) return
    // Dropping rows copies the cache through the host: worth it only once half of the work is for nothing.
    if (2 * going <= batch.sequences.length) batch = await batch.withoutEnded()
    scores = batch.crosses() ? await batch.readAgain() : await batch.step()
  }
}

/** Positions and segments of a row's cached keys. */
interface Keys {
  readonly positions: number[]
  readonly segments: number[]
}

class DecodeBatch {
  readonly sequences: readonly Sequence[]
  readonly #context: DecodeContext
  readonly #keys: readonly Keys[]
  readonly #weights: Readonly<Record<string, HostTensor>>
  /** First token of each row at which each activated adapter acts, by the name of its feed. */
  readonly #starts: ReadonlyMap<string, readonly number[]>

  constructor(
    context: DecodeContext,
    sequences: readonly Sequence[],
    keys: readonly Keys[] = sequences.map(() => ({ positions: [], segments: [] })),
  ) {
    this.#context = context
    this.sequences = sequences
    this.#keys = keys
    this.#weights = rowWeights(context.decode, sequences)
    this.#starts = activeFrom(context.decode, sequences)
  }

  /** An empty cache. */
  async clear(): Promise<void> {
    const { executable, decode } = this.#context
    const empty = decode.cache.map(({ name, kvHeads, headDim }) => [
      name,
      f32([this.sequences.length, kvHeads, 0, headDim], []),
    ])
    await executable.writeState(Object.fromEntries(empty))
  }

  /** Whether the step to come takes a sequence beyond the length up to which its cached keys hold. */
  crosses(): boolean {
    const { longFrom } = this.#context.decode
    return longFrom !== undefined && this.sequences.some(({ done, length }) => !done && length === longFrom + 1)
  }

  /** Feeds every sequence from its start into an empty cache. */
  async readAgain(): Promise<(Float32Array | undefined)[]> {
    for (const { positions, segments } of this.#keys) positions.length = segments.length = 0
    await this.clear()
    return await this.readAll()
  }

  /** Feeds every sequence from its start, in chunks; gives the logits after each. */
  async readAll(): Promise<(Float32Array | undefined)[]> {
    const lengths = this.sequences.map(({ length }) => length)
    const longest = Math.max(...lengths)
    const { promptChunk } = this.#context
    const scores: (Float32Array | undefined)[] = []
    for (let start = 0; start < longest; start += promptChunk) {
      const size = Math.min(promptChunk, longest - start)
      const endsHere = lengths.map((length) => length > start && length <= start + size)
      const found = await this.#run(
        size,
        (row, t) => this.sequences[row]?.at(start + t),
        (_, t) => start + t,
        lengths.map((length, row) => (endsHere[row] ? length - 1 - start : 0)),
        endsHere.includes(true),
      )
      for (const [row, ends] of endsHere.entries()) if (ends) scores[row] = found?.[row]
    }
    return scores
  }

  /** Feeds the last token of every sequence; gives the logits after it. */
  async step(): Promise<Float32Array[]> {
    const found = await this.#run(
      1,
      (row) => (this.sequences[row]?.done ? undefined : this.sequences[row]?.last),
      (row) => (this.sequences[row]?.length ?? 1) - 1,
      this.sequences.map(() => 0),
      true,
    )
    return found ?? []
  }

  /** The same batch with only the rows that go on. */
  async withoutEnded(): Promise<DecodeBatch> {
    const rows = this.sequences.flatMap((sequence, row) => (sequence.done ? [] : [row]))
    const { executable, decode } = this.#context
    const old = await executable.readState(decode.cache.map(({ name }) => name))
    const kept = Object.entries(old).map(([name, value]) => [name, takeRows(value, rows)])
    await executable.writeState(Object.fromEntries(kept))
    const pick = <T>(all: readonly T[]): T[] => rows.flatMap((row) => all.slice(row, row + 1))
    return new DecodeBatch(this.#context, pick(this.sequences), pick(this.#keys))
  }

  #lengths(): Record<string, HostTensor> {
    if (!this.#context.decode.graph.inputs.has('lengths')) return {}
    const lengths = this.sequences.map(({ length }) => length)
    return { lengths: i64([lengths.length], lengths) }
  }

  /** One run over `size` tokens a row; a row without a token at a place is padded there. */
  async #run(
    size: number,
    idAt: (row: number, t: number) => number | undefined,
    positionAt: (row: number, t: number) => number,
    last: readonly number[],
    wanted: boolean,
  ): Promise<Float32Array[] | undefined> {
    const { executable, signal } = this.#context
    if (signal?.aborted) throw new LowrankError('stopped', 'generation was stopped')
    const [ids, positions, segments]: [number[], number[], number[]] = [[], [], []]
    for (const [row, keys] of this.#keys.entries()) {
      for (let t = 0; t < size; t++) {
        const id = idAt(row, t)
        const [position, segment] = id === undefined ? [0, 0] : [positionAt(row, t), 1]
        ids.push(id ?? 0)
        positions.push(position)
        segments.push(segment)
        keys.positions.push(position)
        keys.segments.push(segment)
      }
    }
    const grid = [this.sequences.length, size]
    const active = [...this.#starts].map(([name, starts]) => {
      const acts = (i: number): boolean =>
        segments[i] === 1 && (positions[i] ?? 0) >= (starts[Math.floor(i / size)] ?? 0)
      return [
        name,
        f32(
          grid,
          Float32Array.from(ids, (_, i) => (acts(i) ? 1 : 0)),
        ),
      ] as const
    })
    const keyGrid = [this.sequences.length, this.#keys[0]?.positions.length ?? 0]
    const feeds = {
      ids: i64(grid, ids),
      positions: i64(grid, positions),
      segments: i64(grid, segments),
      keyPositions: i64(
        keyGrid,
        this.#keys.flatMap((keys) => keys.positions),
      ),
      keySegments: i64(
        keyGrid,
        this.#keys.flatMap((keys) => keys.segments),
      ),
      lastRows: i64(
        [last.length],
        last.map((t, row) => row * size + t),
      ),
      ...this.#weights,
      ...Object.fromEntries(active),
      ...this.#lengths(),
    }
    const fetch = wanted ? ['logits'] : []
    const { logits } = await executable.run(feeds, { fetch, ...(signal ? { signal } : {}) })
    if (!wanted) return undefined
    invariant(logits?.dtype === 'f32', 'the decode graph gives logits')
    return rowsOf(logits)
  }
}

/** Each adapter's weight on each row. */
function rowWeights(decode: DecodeGraph, sequences: readonly Sequence[]): Record<string, HostTensor> {
  const prefix = rowWeightOf('')
  const names = [...decode.graph.inputs.keys()].filter((name) => name.startsWith(prefix))
  return Object.fromEntries(
    names.map((name) => {
      const use = (sequence: Sequence) => sequence.request.adapters?.find((a) => rowWeightOf(a.name) === name)
      const weights = sequences.map((sequence) => {
        const found = use(sequence)
        return found ? (found.weight ?? 1) : 0
      })
      return [name, f32([sequences.length], weights)]
    }),
  )
}

/** An adapter acts from its last invocation in the prompt on, in what is generated too; without one it never does. */
function activeFrom({ invocations }: DecodeGraph, sequences: readonly Sequence[]): Map<string, number[]> {
  const startOf = ({ request }: Sequence, tokens: readonly number[]): number =>
    lastInvocation(request.ids, tokens) ?? Number.POSITIVE_INFINITY
  return new Map([...invocations].map(([name, t]) => [activeOf(name), sequences.map((row) => startOf(row, t))]))
}

function rowsOf({ shape, data }: TypedTensor<'f32'>): Float32Array[] {
  const [rows = 0, width = 0] = shape
  return Array.from({ length: rows }, (_, row) => data.subarray(row * width, (row + 1) * width))
}

/** Some entries of the first axis. */
function takeRows(value: HostTensor, rows: readonly number[]): HostTensor {
  invariant(value.dtype === 'f32', 'caches are f32')
  const size = sizeOf(value.shape.slice(1))
  const data = new Float32Array(rows.length * size)
  for (const [i, row] of rows.entries()) data.set(value.data.subarray(row * size, (row + 1) * size), i * size)
  return tensor('f32', [rows.length, ...value.shape.slice(1)], data)
}
