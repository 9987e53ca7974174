/**
 * @file Generates for many requests at once: sorts them into batches that one graph can serve, keeps what is compiled,
 * and gives text as it comes. Must not know files, terminals or chat templates.
 */
import type { Engine, Executable, WeightSource } from '../engine/engine.ts'
import type { Model } from '../models/causal-lm.ts'
import { LowrankError } from '../support/errors.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { compileFrozen } from './compile-frozen.ts'
import { buildDecode, type DecodeAdapters, type DecodeGraph } from './decode-graph.ts'
import { decodeRows } from './decode-rows.ts'
import {
  type AdapterUse,
  actsOnWholeBatch,
  adapterWeights,
  checkUses,
  findAdapters,
  type LoadedAdapter,
} from './loaded-adapter.ts'
import type { GenerationPiece, GenerationRequest, GenerationResult } from './request.ts'
import { GREEDY } from './sampling.ts'
import { createSequence, type Sequence } from './sequence.ts'

export interface GeneratorOptions {
  readonly engine: Engine
  readonly model: Model
  readonly weights: WeightSource
  readonly adapters?: readonly LoadedAdapter[] | undefined
  readonly tokenizer?: Tokenizer | undefined
  /** Tokens that end a text, besides the tokenizer's. */
  readonly eosIds?: readonly number[] | undefined
  readonly threads?: number | undefined
  /** Requests that run together at most. @default 8 */
  readonly batchSize?: number | undefined
  /** Prompt tokens read in one run: attention scores take `heads · promptChunk · past` numbers. @default 512 */
  readonly promptChunk?: number | undefined
}

export interface RunOptions {
  readonly signal?: AbortSignal | undefined
}

interface Compiled {
  readonly decode: DecodeGraph
  readonly executable: Executable
}

/** A model opened for generation. Requests of one call share batches; calls follow each other. */
export class Generator {
  readonly #options: GeneratorOptions
  readonly #adapters: readonly LoadedAdapter[]
  readonly #compiled = new Map<string, Promise<Compiled>>()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: GeneratorOptions) {
    this.#options = options
    this.#adapters = options.adapters ?? []
  }

  /** One result a request, in their order. */
  async run(requests: readonly GenerationRequest[], options: RunOptions = {}): Promise<GenerationResult[]> {
    const pieces = this.stream(requests, options)
    for (;;) {
      const next = await pieces.next()
      if (next.done) return next.value
    }
  }

  /**
   * Text as it comes, of whichever request; the return value is every result. A second call waits until this one is
   * read to its end or closed.
   * @throws LowrankError `usage` for a request that cannot be meant, `data` for ids outside the vocabulary, `numeric`
   * where the model gives no finite scores, `stopped` once aborted
   */
  async *stream(
    requests: readonly GenerationRequest[],
    { signal }: RunOptions = {},
  ): AsyncGenerator<GenerationPiece, GenerationResult[]> {
    const sequences = requests.map((request, index) => this.#sequence(request, index))
    const before = this.#turn
    let release = (): void => {}
    this.#turn = new Promise<void>((resolve) => {
      release = resolve
    })
    await before
    const promptChunk = this.#options.promptChunk ?? 512
    try {
      for (const batch of this.#batches(sequences)) {
        const { decode, executable } = await this.#compile(batch[0]?.request.adapters ?? [], signal)
        yield* decodeRows({ executable, decode, signal, promptChunk }, batch)
      }
      return sequences.map((sequence) => sequence.result())
    } finally {
      release()
    }
  }

  /** Frees what was compiled; the engine stays the caller's. */
  async dispose(): Promise<void> {
    const compiled = [...this.#compiled.values()]
    this.#compiled.clear()
    for (const { executable } of await Promise.all(compiled)) await executable.dispose()
  }

  #sequence(request: GenerationRequest, index: number): Sequence {
    const { model, tokenizer, eosIds = [] } = this.#options
    checkRequest(request, model, tokenizer)
    checkUses(this.#adapters, request.adapters ?? [])
    return createSequence({
      request,
      index,
      sampling: { ...GREEDY, ...request.sampling },
      tokenizer,
      stopIds: request.ignoreEos ? new Set() : new Set([...eosIds, ...(tokenizer?.stopIds ?? [])]),
      longest: model.config.maxPositions,
    })
  }

  /** Requests that one graph serves, at most `batchSize` together, those of like length side by side. */
  #batches(sequences: readonly Sequence[]): Sequence[][] {
    const size = this.#options.batchSize ?? 8
    const groups = new Map<string, Sequence[]>()
    for (const sequence of sequences) {
      const key = this.#graphOf(sequence.request.adapters ?? []).key
      groups.set(key, [...(groups.get(key) ?? []), sequence])
    }
    return [...groups.values()].flatMap((group) => {
      const sorted = group.sort((a, b) => a.request.ids.length - b.request.ids.length)
      return Array.from({ length: Math.ceil(sorted.length / size) }, (_, i) => sorted.slice(i * size, (i + 1) * size))
    })
  }

  #graphOf(uses: readonly AdapterUse[]): { key: string; weighted: LoadedAdapter[]; whole: LoadedAdapter[] } {
    const found = findAdapters(this.#adapters, uses)
    const whole = found.filter((adapter) => actsOnWholeBatch(adapter) !== undefined)
    if (whole.length > 0) return { key: `whole ${whole.map((w) => w.name).join()}`, weighted: [], whole }
    if (found.length === 0) return { key: 'base', weighted: [], whole }
    const weighted = this.#adapters.filter((adapter) => actsOnWholeBatch(adapter) === undefined)
    return { key: 'weighted', weighted, whole }
  }

  async #compile(uses: readonly AdapterUse[], signal: AbortSignal | undefined): Promise<Compiled> {
    const { key, ...adapters } = this.#graphOf(uses)
    const known = this.#compiled.get(key)
    if (known) return known
    const compiled = this.#build(adapters, signal)
    this.#compiled.set(key, compiled)
    compiled.catch(() => this.#compiled.delete(key)) // stopped or failed: the next call tries again
    return compiled
  }

  async #build(adapters: DecodeAdapters, signal: AbortSignal | undefined): Promise<Compiled> {
    const { engine, model, threads } = this.#options
    const own = adapterWeights([...adapters.weighted, ...adapters.whole])
    const weights = new Map([...this.#options.weights, ...own])
    const options = { ...(threads === undefined ? {} : { threads }), ...(signal === undefined ? {} : { signal }) }
    const decode = buildDecode(model, adapters)
    const executable = await compileFrozen(engine, decode.graph, { weights, state: decode.state, ...options })
    return { decode, executable }
  }
}

function checkRequest(request: GenerationRequest, model: Model, tokenizer: Tokenizer | undefined): void {
  const { ids, maxTokens, stop = [] } = request
  const { maxPositions, vocabSize } = model.config
  if (ids.length === 0) throw new LowrankError('usage', 'the prompt is empty: generation needs at least one token')
  const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize)
  if (bad !== undefined)
    throw new LowrankError('data', `the prompt has token id ${bad}; the model knows 0 to ${vocabSize - 1}`, {
      field: 'ids',
    })
  if (ids.length >= maxPositions)
    throw new LowrankError(
      'usage',
      `the prompt has ${ids.length} tokens, and the model's longest sample ${maxPositions}`,
      {
        field: 'prompt',
        suggestion: 'shorten the prompt',
      },
    )
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    throw new LowrankError('usage', `maxTokens is ${maxTokens}, and must be a whole number from 1`, {
      field: 'max-tokens',
    })
  if (stop.length > 0 && !tokenizer)
    throw new LowrankError('usage', 'stop strings need a tokenizer, and the model folder has none', { field: 'stop' })
}
