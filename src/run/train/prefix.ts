/**
 * @file The frozen layers of a run, computed once for each row: whether that can be, where the values are kept, and for
 * how long. They outlive a run inside the process, so that other seeds and settings of a study find them.
 * Must not know the loop or terminals.
 */
import { createHash } from 'node:crypto'
import { stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { Dataset } from '../../data/dataset.ts'
import { type Engine, isWeightRef, type WeightSource } from '../../engine/engine.ts'
import { printGraph } from '../../graph/print.ts'
import type { Graph } from '../../graph/types.ts'
import { compileFrozen } from '../../infer/compile-frozen.ts'
import type { FrozenPrefix } from '../../passes/frozen-prefix.ts'
import { invariant } from '../../support/errors.ts'
import { freeMemory } from '../../support/free-memory.ts'
import { bytes, count } from '../../support/human.ts'
import { SpillStore } from '../../support/spill-store.ts'
import { labelsAtOf } from '../../train/objectives.ts'
import { PrefixRows } from '../../train/prefix-rows.ts'
import { prefixOf } from '../../train/step-graph.ts'
import type { NoticeEvent, ProgressEvent } from '../types.ts'
import type { Material } from './material.ts'
import { sessionOptions, threadsOf } from './open-session.ts'
import type { TrainSettings } from './settings.ts'
import type { Subject } from './subject.ts'

/** Share of free memory, and of free disk, that kept values may take. */
const SHARE = { memory: 1 / 4, disk: 1 / 2 }

interface Kept {
  readonly store: SpillStore
  users: number
}

/** By prefix and weights, from the longest unused to the newest. */
const kept = new Map<string, Kept>()

interface Part {
  readonly prefix: FrozenPrefix
  readonly rows: PrefixRows
  readonly holder: Kept
}

/** The frozen prefixes of a run's steps and of its evaluation, which has no dropout in its way. */
export interface Prefixes {
  readonly train: PrefixRows | undefined
  readonly held: PrefixRows | undefined
  readonly notes: readonly string[]
  /** Computes what no run before has. @throws LowrankError `stopped`, `io` */
  fill(signal: AbortSignal, emit: (event: NoticeEvent | ProgressEvent) => void): Promise<void>
  /** Lets others have the room. */
  release(): void
}

interface PrefixParts {
  readonly settings: TrainSettings
  readonly subject: Subject
  readonly material: Pick<Material, 'train' | 'held' | 'head' | 'masking'>
  readonly engine: Engine
}

/** Finds what can be computed once, and whether there is room for it. */
export async function openPrefixes(run: PrefixParts): Promise<Prefixes> {
  const { settings, subject, material } = run
  // Masked tokens are drawn anew each epoch.
  const isPossible = settings.prefixCache === 'auto' && !material.masking
  if (!isPossible) return { train: undefined, held: undefined, notes: [], fill: async () => {}, release: () => {} }
  const options = sessionOptions(settings, subject)
  // One after the other: both may keep their values in one place.
  const train = await openPart(run, prefixOf(subject.trained, options), material.train)
  const ofHeld = material.held && prefixOf(subject.trained, { dropout: false })
  const held = ofHeld && material.held ? await openPart(run, ofHeld, material.held) : undefined
  const parts = [train, held].flatMap((part) => (typeof part === 'object' ? [part] : []))
  return {
    train: typeof train === 'object' ? train.rows : undefined,
    held: typeof held === 'object' ? held.rows : undefined,
    notes: notesOf(run, options, train),
    fill: async (signal, emit) => await fill(run, parts, signal, emit),
    release() {
      for (const { holder } of parts) holder.users--
    },
  }
}

/** Undefined where there is no prefix; how many bytes it would take where there is no room for it. */
async function openPart(
  run: PrefixParts,
  prefix: FrozenPrefix | undefined,
  data: Dataset,
): Promise<Part | number | undefined> {
  if (!prefix) return undefined
  const key = await keyOf(run, prefix.graph)
  const known = kept.get(key)
  const budget = SHARE.memory * ((await freeMemory()) + heldInAll())
  const holder = known ?? { store: new SpillStore(() => budget - heldBeside(key)), users: 0 }
  const rows = new PrefixRows(prefix, data, { labelsAt: labelsAtOf(run.material.head), store: holder.store })
  await makeRoom(rows.missingBytes, budget)
  const onDisk = Math.max(0, rows.missingBytes + heldInAll() - budget)
  if (onDisk > SHARE.disk * (await freeDisk())) return rows.missingBytes
  holder.users++
  kept.delete(key)
  kept.set(key, holder)
  return { prefix, rows, holder }
}

function heldInAll(): number {
  return [...kept.values()].reduce((sum, { store }) => sum + store.memoryBytes, 0)
}

function heldBeside(key: string): number {
  return heldInAll() - (kept.get(key)?.store.memoryBytes ?? 0)
}

/** Closes what nobody uses, the longest unused first, until `wanted` bytes fit or nothing is left to close. */
async function makeRoom(wanted: number, budget: number): Promise<void> {
  for (const [key, { store, users }] of kept) {
    if (heldInAll() + wanted <= budget) return
    if (users > 0) continue
    kept.delete(key)
    await store.close()
  }
}

async function freeDisk(): Promise<number> {
  const { bavail, bsize } = await statfs(tmpdir())
  return bavail * bsize
}

/** Equal where the same engine gives a row the same values: by the graph and by what its weights are. */
async function keyOf({ engine, settings, subject }: PrefixParts, graph: Graph): Promise<string> {
  const hash = createHash('sha256').update(`${engine.name};${settings.threads};${printGraph(graph)}`)
  for (const [name, node] of graph.inputs)
    if (node.params.kind === 'weight') hash.update(await identity(name, subject.weights))
  return hash.digest('hex')
}

async function identity(name: string, weights: WeightSource): Promise<string> {
  const weight = weights.get(name)
  invariant(weight, `the base has no tensor ${name}`)
  if (!isWeightRef(weight)) {
    const { buffer, byteOffset, byteLength } = weight.data
    return `${name}:${createHash('sha256')
      .update(new Uint8Array(buffer, byteOffset, byteLength))
      .digest('hex')};`
  }
  const { mtimeMs, size } = await stat(weight.file)
  return `${name}:${weight.file}:${weight.offset}:${size}:${mtimeMs};`
}

async function fill(
  { engine, settings, subject }: PrefixParts,
  parts: readonly Part[],
  signal: AbortSignal,
  emit: (event: NoticeEvent | ProgressEvent) => void,
): Promise<void> {
  for (const { prefix, rows } of parts) {
    if (rows.missingBytes === 0) continue
    const executable = await compileFrozen(engine, prefix.graph, { weights: subject.weights, ...threadsOf(settings) })
    try {
      await rows.fill(executable, {
        model: subject.trained.model,
        inputs: new Set(prefix.graph.inputs.keys()),
        signal,
        onRows: (done, total) => emit({ type: 'progress', label: 'frozen layers', done, total, unit: 'rows' }),
      })
    } finally {
      await executable.dispose()
    }
  }
}

function notesOf(
  { settings, subject, material }: PrefixParts,
  options: ReturnType<typeof sessionOptions>,
  train: Part | number | undefined,
): string[] {
  if (typeof train === 'number') {
    const wanted = `${bytes(train)} for ${count(material.train.length)} rows`
    return [`what the frozen layers make of the rows would take ${wanted}: there is no room, so every step computes it`]
  }
  if (train) {
    const { store } = train.holder
    const size = bytes(store.memoryBytes + store.diskBytes + train.rows.missingBytes)
    return [`the frozen layers below ${scopeOf(train.prefix)} are computed once for each row (${size})`]
  }
  if (settings.frozenDropout === 'off' || !prefixOf(subject.trained, { ...options, frozenDropout: false })) return []
  return ['dropout acts in frozen layers, so every step computes them; --frozen-dropout off computes them once']
}

/** Where the lowest kept value comes from. */
function scopeOf({ cut }: FrozenPrefix): string {
  const scopes = [...cut.values()].map(({ scope }) => scope).filter((scope) => scope !== '')
  return scopes.at(0) ?? 'the head'
}
