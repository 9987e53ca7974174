/**
 * @file What the frozen prefix of a model makes of each row, computed once: rows of one length at a time and without
 * padding, so that a row's values do not depend on its company. Gives a batch what the graph above the prefix asks for.
 * Must not know budgets, files or settings.
 */
import { createHash } from 'node:crypto'
import type { Batch } from '../data/batch.ts'
import { collate } from '../data/collate.ts'
import type { Dataset } from '../data/dataset.ts'
import { countLabels, type Example, type LabelsAt, NO_LABEL } from '../data/example.ts'
import type { Executable, Tensors } from '../engine/engine.ts'
import type { Graph, Node } from '../graph/types.ts'
import { forwardTensors } from '../models/forward-tensors.ts'
import type { Model } from '../models/model.ts'
import { type FrozenPrefix, standsAt, widthOf } from '../passes/frozen-prefix.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import type { SpillStore } from '../support/spill-store.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'

/** Tokens computed together. */
const TOKENS = 2048

/** One value of the cut. */
interface Piece {
  readonly name: string
  readonly node: Node
  readonly at: 'tokens' | 'labels'
  /** Numbers for each token or label. */
  readonly width: number
}

interface Row {
  readonly key: string
  readonly tokens: number
  readonly labels: number
}

export class PrefixRows {
  readonly #pieces: readonly Piece[]
  readonly #data: Dataset
  readonly #labelsAt: LabelsAt
  readonly #store: SpillStore
  /** By `Example.place`. */
  readonly #rows: ReadonlyMap<number, Row>

  /** Rows of `data`; what `store` has already is not computed again. */
  constructor({ cut }: FrozenPrefix, data: Dataset, { labelsAt, store }: { labelsAt: LabelsAt; store: SpillStore }) {
    this.#pieces = [...cut].map(([name, node]) => pieceOf(name, node))
    this.#data = data
    this.#labelsAt = labelsAt
    this.#store = store
    this.#rows = new Map([...data].map((example) => [example.place, rowOf(example, labelsAt)]))
  }

  /** Bytes of what is still to be computed. */
  get missingBytes(): number {
    const missing = new Map(
      [...this.#rows.values()].filter(({ key }) => !this.#store.has(key)).map((row) => [row.key, row]),
    )
    return [...missing.values()].reduce((sum, row) => sum + 4 * this.#sizeOf(row), 0)
  }

  /**
   * Computes what is missing.
   * @param prefix compiled from the prefix's graph, whose feeds are `inputs`
   * @throws LowrankError `stopped`
   */
  async fill(
    prefix: Executable,
    {
      model,
      inputs,
      signal,
      onRows,
    }: {
      model: Pick<Model, 'reads'>
      inputs: ReadonlySet<string>
      signal?: AbortSignal | undefined
      onRows?: (done: number, total: number) => void
    },
  ): Promise<void> {
    const missing = this.#missing()
    let done = 0
    for (const group of byLength(missing)) {
      if (signal?.aborted) throw new LowrankError('stopped', 'the frozen layers were being computed; nothing is lost')
      const batch = collate(labelled(group, this.#labelsAt), { labelsAt: this.#labelsAt })
      const all = { ...forwardTensors(batch, model), labelRows: batch.labelRows }
      const feeds = Object.fromEntries(Object.entries(all).filter(([name]) => inputs.has(name)))
      await this.#keep(group, await prefix.run(feeds, signal ? { signal } : {}))
      done += group.length
      onRows?.(done, missing.length)
    }
  }

  /** `feeds` of a batch of these rows with what the prefix makes of them, as far as `graph` asks for it. */
  async feedsOf(graph: Graph, batch: Batch, feeds: Tensors): Promise<Tensors> {
    const all = { ...feeds, ...(await this.#valuesOf(batch)) }
    return Object.fromEntries(Object.entries(all).filter(([name]) => graph.inputs.has(name)))
  }

  async #valuesOf(batch: Batch): Promise<Record<string, HostTensor>> {
    const [count = 0, seq = 0] = batch.ids.shape
    const labelled = batch.labels.data.length
    const out = this.#pieces.map(
      ({ at, width }) => new Float32Array((at === 'tokens' ? count * seq : labelled) * width),
    )
    let label = 0
    for (const token of beginnings(batch)) {
      const row = this.#rows.get(batch.places.data[token] ?? 0)
      invariant(row, 'a batch holds a row that was not there before')
      const values = await this.#store.get(row.key)
      let from = 0
      for (const [i, { at, width }] of this.#pieces.entries()) {
        const size = width * (at === 'tokens' ? row.tokens : row.labels)
        out[i]?.set(values.subarray(from, from + size), width * (at === 'tokens' ? token : label))
        from += size
      }
      label += row.labels
    }
    const extents = { batch: count, seq, labelled }
    return Object.fromEntries(
      this.#pieces.map(({ name, node, at }, i): [string, HostTensor] => {
        const data = out[i] ?? new Float32Array(0)
        return [name, { dtype: 'f32', shape: shapeOf(node, at, extents), data }]
      }),
    )
  }

  #missing(): Example[] {
    const seen = new Set<string>()
    return [...this.#data].filter(({ place }) => {
      const key = this.#rows.get(place)?.key ?? ''
      if (seen.has(key) || this.#store.has(key)) return false
      seen.add(key)
      return true
    })
  }

  async #keep(group: readonly Example[], found: Record<string, HostTensor>): Promise<void> {
    const from = this.#pieces.map(() => 0)
    for (const { place } of group) {
      const row = this.#rows.get(place)
      invariant(row, 'a row is not its dataset’s')
      const values = new Float32Array(this.#sizeOf(row))
      let at = 0
      for (const [i, piece] of this.#pieces.entries()) {
        const all = found[piece.name]
        invariant(all?.dtype === 'f32', `the prefix gives no ${piece.name}`)
        const size = piece.width * (piece.at === 'tokens' ? row.tokens : row.labels)
        const start = from[i] ?? 0
        values.set(all.data.subarray(start, start + size), at)
        from[i] = start + size
        at += size
      }
      await this.#store.set(row.key, values)
    }
  }

  #sizeOf({ tokens, labels }: Row): number {
    return this.#pieces.reduce((sum, { at, width }) => sum + width * (at === 'tokens' ? tokens : labels), 0)
  }
}

function pieceOf(name: string, node: Node): Piece {
  const [at, width] = [standsAt(node), widthOf(node)]
  invariant(at !== undefined && width !== undefined, `${name} is no value by token or label`)
  return { name, node, at, width }
}

function shapeOf({ type }: Node, at: Piece['at'], extents: { batch: number; seq: number; labelled: number }): number[] {
  const { batch, seq, labelled } = extents
  if (at === 'labels') return [labelled, ...type.shape.slice(1).map(Number)]
  return type.shape[0] === 'batch'
    ? [batch, seq, ...type.shape.slice(2).map(Number)]
    : [batch * seq, ...type.shape.slice(1).map(Number)]
}

/** A row by what the prefix sees of it: equal rows share their values. */
function rowOf({ ids, types, labels }: Example, labelsAt: LabelsAt): Row {
  const first = labelsAt === 'next' ? 1 : 0
  const labelled = [...labels.keys()].filter((t) => t >= first && labels[t] !== NO_LABEL)
  const hash = createHash('sha256')
    .update(Int32Array.from(ids))
    .update(types ?? '')
  const key = hash.update(`;${labelled.join(',')}`).digest('base64url')
  return { key, tokens: ids.length, labels: labelled.length }
}

/** One example a row; a batch needs a label, so where none has one the first gets it. */
function labelled(group: readonly Example[], labelsAt: LabelsAt): Example[][] {
  if (group.some(({ labels }) => countLabels(labels, labelsAt) > 0)) return group.map((example) => [example])
  return group.map((example, i) => [i > 0 ? example : { ...example, labels: new Int32Array(example.ids.length) }])
}

/** Groups of one length each, as many rows as make a good batch. */
function* byLength(examples: readonly Example[]): Generator<Example[]> {
  const groups = new Map<number, Example[]>()
  for (const example of examples) {
    const length = example.ids.length
    const group = groups.get(length) ?? []
    groups.set(length, group)
    group.push(example)
    if (group.length * length < TOKENS) continue
    yield group
    groups.delete(length)
  }
  yield* groups.values()
}

/** Flat indices of the first token of each sample of a batch, in order. */
function* beginnings({ segments, ids }: Batch): Generator<number> {
  const [, seq = 1] = ids.shape
  let [before, row] = [0n, -1]
  for (const [token, segment] of segments.data.entries()) {
    const here = Math.floor(token / seq)
    if (segment !== 0n && (segment !== before || here !== row)) yield token
    before = segment
    row = here
  }
}
