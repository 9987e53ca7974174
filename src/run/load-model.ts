/**
 * @file A model kept open: generate many times, put adapters on and take them off, without loading the base again.
 * Must not know terminals.
 */

import type { AdapterSpec } from '../config/options/model.ts'
import { resolveOptions } from '../config/resolve.ts'
import type { GenerateOptions } from '../config/verbs/index.ts'
import type { Engine } from '../engine/engine.ts'
import { Generator } from '../infer/generator.ts'
import type { AdapterUse, LoadedAdapter } from '../infer/loaded-adapter.ts'
import type { GenerationRequest, GenerationResult } from '../infer/request.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { loadAdapter } from './adapters.ts'
import { generatorParts, promptIds, requestOf } from './generate.ts'
import { type OpenForUse, openEngineFor, openForUse } from './open-for-use.ts'
import type { Stoppable } from './types.ts'

/** What loads a model: the options of `generate` that name it, its adapters and its engine. */
export type LoadModelOptions = Pick<
  GenerateOptions,
  'model' | 'adapter' | 'tokenizer' | 'revision' | 'offline' | 'engine' | 'threads' | 'dtype'
> &
  Stoppable

/** One prompt, with the sampling options of `generate`. */
export interface Request extends Omit<GenerateOptions, keyof LoadModelOptions> {
  /** Names of attached adapters, with a weight each where it is not 1; all that are attached where absent, none where empty. */
  readonly adapters?: readonly string[] | Readonly<Record<string, number>>
}

/** A model with its adapters and an engine. Dispose it when done. */
export class LoadedModel {
  readonly #engine: Engine
  readonly #threads: number | undefined
  readonly #open: OpenForUse
  #adapters: readonly LoadedAdapter[]
  #defaults: readonly AdapterUse[]
  #generator: Generator

  /** Use {@link loadModel}. */
  constructor(open: OpenForUse, engine: Engine, threads: number | undefined) {
    this.#open = open
    this.#engine = engine
    this.#threads = threads
    this.#adapters = open.adapters
    this.#defaults = open.uses
    this.#generator = this.#newGenerator()
  }

  /** Names of the adapters that are attached. */
  get adapters(): readonly string[] {
    return this.#adapters.map((adapter) => adapter.name)
  }

  /**
   * Continues prompts, together where they fit one batch; one result a request, in their order.
   * @throws LowrankError `usage` naming an adapter that is not attached, with the nearest that is
   */
  async generate(requests: Request | readonly Request[], { signal }: Stoppable = {}): Promise<GenerationResult[]> {
    const list = isList(requests) ? requests : [requests]
    return await this.#generator.run(
      list.map((request) => this.#request(request)),
      { signal },
    )
  }

  /** Text of one prompt as it comes. */
  async *stream(request: Request, { signal }: Stoppable = {}): AsyncGenerator<string, GenerationResult | undefined> {
    const pieces = this.#generator.stream([this.#request(request)], { signal })
    for (;;) {
      const next = await pieces.next()
      if (next.done) return next.value[0]
      yield next.value.text
    }
  }

  /** Puts a PEFT adapter folder on the base under a name; requests without `adapters` use it from now on. */
  async attachAdapter({
    path,
    name = 'default',
    weight = 1,
  }: Pick<AdapterSpec, 'path'> & Partial<AdapterSpec>): Promise<void> {
    if (this.adapters.includes(name))
      throw new LowrankError('usage', `there is an adapter named ${name} already`, { field: 'name' })
    const adapter = await loadAdapter(this.#open.base, { name, path })
    await this.#replace([...this.#adapters, adapter], [...this.#defaults, { name, weight }])
  }

  /** Takes an adapter off. */
  async detachAdapter(name: string): Promise<void> {
    this.#known(name)
    const others = <T extends { name: string }>(list: readonly T[]): T[] => list.filter((a) => a.name !== name)
    await this.#replace(others(this.#adapters), others(this.#defaults))
  }

  /** Ends what runs and frees the engine. */
  async dispose(): Promise<void> {
    await this.#generator.dispose()
    await this.#engine.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  async #replace(adapters: readonly LoadedAdapter[], defaults: readonly AdapterUse[]): Promise<void> {
    await this.#generator.dispose()
    this.#adapters = adapters
    this.#defaults = defaults
    this.#generator = this.#newGenerator()
  }

  #newGenerator(): Generator {
    return new Generator({
      ...generatorParts(this.#open),
      adapters: this.#adapters,
      engine: this.#engine,
      threads: this.#threads,
    })
  }

  #request({ adapters, ...options }: Request): GenerationRequest {
    // The model is open: `generate` only has to check the rest.
    const settings = resolveOptions('generate', { ...options, model: this.#open.base.folder })
    const uses = adapters === undefined ? this.#defaults : this.#uses(adapters)
    return { ...requestOf(settings), ids: promptIds(settings, this.#open.tokenizer), adapters: uses }
  }

  #uses(adapters: NonNullable<Request['adapters']>): AdapterUse[] {
    const entries: [string, number][] = isList(adapters) ? adapters.map((name) => [name, 1]) : Object.entries(adapters)
    return entries.map(([name, weight]) => ({ name: this.#known(name), weight }))
  }

  #known(name: string): string {
    if (this.adapters.includes(name)) return name
    const attached = this.adapters.join(', ') || 'none'
    throw new LowrankError('usage', `there is no adapter named ${name} (attached: ${attached})`, {
      field: 'adapters',
      suggestion: nearest(name, this.adapters)[0],
    })
  }
}

/**
 * Opens a model, with adapters where any are named, and keeps it.
 * @throws LowrankError `missing`, `format`, `config`, `unsupported`, naming file and field
 * @example
 * const model = await loadModel({ model: 'lowrank-tiny' })
 * const [result] = await model.generate({ prompt: 'One day', maxTokens: 20 })
 */
export async function loadModel(options: LoadModelOptions): Promise<LoadedModel> {
  const { signal, ...named } = options
  // `generate` checks the same options; the prompt stands in for the ones to come.
  const settings = resolveOptions('generate', { ...named, prompt: '' })
  const open = await openForUse(settings, { signal })
  const { engine, threads } = await openEngineFor(settings)
  return new LoadedModel(open, engine, threads)
}

function isList<T>(value: T | readonly T[] | Readonly<Record<string, number>>): value is readonly T[] {
  return Array.isArray(value)
}
