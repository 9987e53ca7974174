/**
 * @file Opens what `classify` and `embed` read texts with: a base, a seat for each adapter with its own head, a tokenizer
 * and an engine; and reads rows through it. Must not know what is made of the numbers.
 */
import { type AdapterInput, adapterSpecs } from '../config/options/model.ts'
import type { InputUnit } from '../data/input-rows.ts'
import { type PlacedInput, readInputs } from '../data/read-inputs.ts'
import type { RowSource } from '../data/rows.ts'
import type { Engine } from '../engine/engine.ts'
import { readAdapterConfig } from '../formats/adapter-folder.ts'
import { checkUses, type LoadedAdapter } from '../infer/loaded-adapter.ts'
import { Reader } from '../infer/reader.ts'
import type { Wanted } from '../infer/reading-graph.ts'
import type { Seat } from '../infer/seat.ts'
import { LowrankError } from '../support/errors.ts'
import { count } from '../support/human.ts'
import { nearest } from '../support/nearest.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { adapterFolder, checkNames, type LoadOptions, loadAdapter } from './adapters.ts'
import type { BaseOptions } from './base-folder.ts'
import type { Watched } from './evaluate.ts'
import { headForUse } from './head-facts.ts'
import { type EngineSettings, namedBase, openEngineFor, openTokenizer, type UseSettings } from './open-for-use.ts'
import { type OpenModel, openModel, withReplication } from './open-model.ts'
import { tokenizerDoubts } from './tokenizer-doubts.ts'

/** A base with one of its adapters, as opened. */
export interface OpenSeat extends Seat {
  readonly open: OpenModel
}

export interface ReaderSettings extends UseSettings, EngineSettings {
  readonly batchSize: number
  readonly maxLength: number
}

export interface OpenReader {
  readonly seats: readonly OpenSeat[]
  readonly reader: Reader
  readonly tokenizer: Tokenizer | undefined
  readonly engine: Engine
  readonly maxLength: number
}

/** The name of the base where no adapter is on it. */
const BASE = 'base'

/**
 * @param check refuses a seat that cannot give what is wanted
 * @throws LowrankError `missing`, `format`, `config`, `unsupported`, naming file and field
 */
export async function openReader(
  settings: ReaderSettings,
  wanted: Wanted,
  check: (seat: OpenSeat) => void,
  options: BaseOptions = {},
): Promise<OpenReader> {
  const where: BaseOptions = { ...options, revision: settings.revision, offline: settings.offline }
  const folder = await namedBase(settings, where)
  const seats = await openSeats(folder, settings.adapter ?? [], { ...where, adapterDrop: settings.adapterDrop })
  for (const seat of seats) check(seat)
  const tokenizer = await openTokenizer(settings.tokenizer, folder)
  const doubts = seats.slice(0, 1).flatMap(({ model }) => tokenizerDoubts(tokenizer, model, 'text'))
  for (const message of doubts) options.onEvent?.({ type: 'notice', message })
  const { engine, threads } = await openEngineFor(settings)
  const { batchSize, maxLength } = settings
  const reader = new Reader({ engine, seats, wanted, threads, batchSize, signal: options.signal })
  return { seats, reader, tokenizer, engine, maxLength }
}

async function openSeats(folder: string, inputs: readonly AdapterInput[], where: LoadOptions): Promise<OpenSeat[]> {
  const specs = adapterSpecs(inputs)
  checkNames(specs)
  if (specs.length === 0) {
    const open = await openModel(folder)
    return [{ name: BASE, open, model: open.model, weights: open.weights, scale: 1, isRebuilt: false }]
  }
  const seats: OpenSeat[] = []
  for (const spec of specs) {
    const path = await adapterFolder(spec.path, where)
    const config = await readAdapterConfig(path)
    const plain = await openModel(folder, await headForUse(folder, path))
    const open = await withReplication(plain, config.kind === 'peft' ? config.config.layer_replication : null)
    const adapter: LoadedAdapter = await loadAdapter(open, spec, where)
    checkUses([adapter], [{ name: spec.name, weight: spec.weight }])
    const { model, weights, replicated } = open
    seats.push({
      ...{ name: spec.name, open, model, weights, adapter },
      ...{ scale: spec.weight, isRebuilt: replicated !== undefined },
    })
  }
  return seats
}

/** What was asked, and the numbers that answer it. */
export interface ReadRow {
  readonly input: PlacedInput
  readonly seat: OpenSeat
  readonly values: Float32Array
}

export interface ReadRowsSettings extends Watched {
  /** What is being done, for progress. */
  readonly label: string
  readonly columns?: Readonly<Record<string, string>> | undefined
  /** The adapter of rows that name none. */
  readonly adapter?: string | undefined
  readonly unitOf: (seat: OpenSeat) => InputUnit
}

/** @throws LowrankError `data` naming file and line, `usage` for an adapter that is not there, `numeric`, `stopped` */
export async function readThrough(
  { seats, reader, tokenizer, maxLength }: OpenReader,
  sources: readonly RowSource[],
  { label, columns, adapter: usual, unitOf, signal, onProgress }: ReadRowsSettings,
): Promise<ReadRow[]> {
  const [first] = seats
  if (!first) throw new LowrankError('usage', 'no model is open')
  const { model } = first
  const seatOf = (name: string | undefined): OpenSeat => seatNamed(seats, name ?? usual)
  const inputs = await readInputs({
    sources,
    tokenizer,
    vocabSize: model.config.vocabSize,
    tokenTypes: model.tokenTypes,
    maxLength,
    modelMaxLength: model.config.maxPositions,
    columns,
    unitOf: (name) => unitOf(seatOf(name)),
    signal,
  })
  const cut = inputs.filter((input) => input.cut).length
  if (cut > 0) onProgress?.({ type: 'notice', message: `${count(cut)} rows were cut to the maximal length` })
  const rows = inputs.map((input) => {
    const { ids, types, source, firsts } = input
    const tokens = firsts?.filter((at) => at !== undefined)
    return { ids, types, source, tokens, seat: seatOf(input.adapter).name }
  })
  let started = performance.now()
  const values = await reader.read(rows, {
    signal,
    onBatch: (done, tokens) => {
      if (done === 0) started = performance.now()
      else onProgress?.({ type: 'progress', label, done, total: rows.length, unit: 'rows' })
      if (done < rows.length) return
      const seconds = (performance.now() - started) / 1000
      const message = `${count(done)} rows, ${count(tokens)} tokens, ${count(Math.round(tokens / seconds))} tokens/s`
      if (done > 1) onProgress?.({ type: 'notice', message })
    },
  })
  return inputs.map((input, i) => ({
    ...{ input, seat: seatOf(input.adapter) },
    values: values[i] ?? new Float32Array(),
  }))
}

function seatNamed(seats: readonly OpenSeat[], name: string | undefined): OpenSeat {
  const [only] = seats
  const names = seats.map((seat) => seat.name)
  if (name === undefined) {
    if (only && seats.length === 1) return only
    throw new LowrankError('usage', `the row names no adapter, and there are ${names.join(', ')}`, {
      ...{ field: 'adapter', suggestion: `say which in each row: "adapter": "${names[0]}"` },
    })
  }
  const found = seats.find((seat) => seat.name === name)
  if (found) return found
  const there = only?.adapter ? `there are ${names.join(', ')}` : 'none is on the model'
  throw new LowrankError('usage', `no adapter is named ${name}: ${there}`, {
    ...{ field: 'adapter', suggestion: only?.adapter ? nearest(name, names)[0] : 'name it with --adapter name=PATH' },
  })
}

export async function disposeReader({ reader, engine }: OpenReader): Promise<void> {
  await reader.dispose()
  await engine.dispose()
}
