/**
 * @file A compiled training step with its state: feeds batches, reports loss and gradient norm, gives and takes the
 * trained tensors and moments. Must not know files, schedules or where batches come from.
 */

import type { Batch } from '../data/batch.ts'
import type { Engine, Executable, Profile, Tensors, WeightSource } from '../engine/engine.ts'
import { prepare } from '../engine/prepare.ts'
import type { Graph } from '../graph/types.ts'
import { biasInUpdate } from '../passes/bias-in-update.ts'
import { recompute } from '../passes/recompute.ts'
import { invariant } from '../support/errors.ts'
import { hashKey } from '../support/random.ts'
import { f32, type HostTensor, type TypedTensor, zeros } from '../tensor/host-tensor.ts'
import { batchTensors } from './batch-tensors.ts'
import { optimizers } from './optimizers.ts'
import { packGroup, unpackGroup } from './parameter-groups.ts'
import type { PrefixRows } from './prefix-rows.ts'
import { buildStep, type StepGraph, type StepOptions, type Trained } from './step-graph.ts'

export interface SessionOptions extends StepOptions {
  readonly engine: Engine
  readonly weights: WeightSource
  readonly threads?: number | undefined
  /** Seed of dropout masks. */
  readonly dropoutSeed: number
  /** Gradient checkpointing by block. */
  readonly recompute: boolean
  /** Of a step that leaves its frozen prefix out: what that makes of each row. */
  readonly prefixRows?: PrefixRows | undefined
  /** Keep times, for `profile`. */
  readonly profile?: boolean
  readonly signal?: AbortSignal | undefined
}

/** What one optimizer step gives back. */
export interface StepOutcome {
  /** Sum over labelled tokens divided by their number. */
  readonly loss: number
  /** Before clipping. */
  readonly gradNorm: number
  readonly labelled: number
  /** Input tokens, padding not counted. */
  readonly tokens: number
  /** Index into `batches` and label of the first loss that is not a number. */
  readonly broken?: { readonly batch: number; readonly label: number }
}

/** The step as an engine with kernels for `composites` gets it. */
export function stepOf(
  trained: Trained,
  options: StepOptions & Pick<SessionOptions, 'recompute'>,
  composites: Engine['composites'],
): StepGraph {
  const { graph, state } = buildStep(trained, options)
  const whole = recompute(graph, trained.model.blockOf, options.recompute ? 'everything' : 'cheap')
  return { graph: prepare(biasInUpdate(whole), composites), state }
}

export class TrainSession {
  readonly trained: Trained
  /** The step's graph as the engine has it. */
  readonly graph: Graph
  readonly #executable: Executable
  readonly #options: SessionOptions
  /** Something in the graph drops at random. */
  readonly #drops: boolean

  private constructor(trained: Trained, graph: Graph, executable: Executable, options: SessionOptions) {
    this.trained = trained
    this.graph = graph
    this.#executable = executable
    this.#options = options
    this.#drops = graph.inputs.has('dropoutKeys')
  }

  static async create(trained: Trained, options: SessionOptions): Promise<TrainSession> {
    const { engine, weights, threads, signal, profile } = options
    const { graph: prepared, state } = stepOf(trained, options, engine.composites)
    const executable = await engine.compile(prepared, {
      weights,
      state,
      lean: options.recompute,
      ...(threads === undefined ? {} : { threads }),
      ...(profile === undefined ? {} : { profile }),
      ...(signal === undefined ? {} : { signal }),
    })
    return new TrainSession(trained, prepared, executable, options)
  }

  /** Sets the trained tensors; moments and sums start at zero. */
  async start(values: ReadonlyMap<string, HostTensor>): Promise<void> {
    const state: Record<string, HostTensor> = {}
    for (const group of this.trained.groups) {
      state[group.name] = packGroup(group, values)
      for (const name of this.#besides(group.name)) state[name] = zeros('f32', [group.size])
    }
    await this.#executable.writeState(state)
  }

  /** One optimizer step on `batches`, which the loss counts as one. `step` counts from 0. */
  async step(batches: readonly Batch[], step: number, rate: number): Promise<StepOutcome> {
    const labelled = batches.reduce((sum, batch) => sum + batch.labels.data.length, 0)
    const scalars = Object.entries(optimizers[this.#options.optimizer].scalars(step + 1))
    const shared: Record<string, HostTensor> = {
      rate: scalar(rate),
      lossWeight: scalar(1 / labelled),
      ...Object.fromEntries(scalars.map(([name, value]) => [name, scalar(value)])),
    }
    let [total, gradNorm, tokens] = [0, 0, 0]
    let broken: StepOutcome['broken']
    for (const [i, batch] of batches.entries()) {
      const apply = this.#options.accumulates ? { apply: flag(i === batches.length - 1) } : {}
      const { losses, gradNorm: norm } = await this.#executable.run(
        { ...(await this.#feeds(batch, step)), ...shared, ...apply },
        { fetch: ['losses', 'gradNorm'] },
      )
      invariant(losses?.dtype === 'f32' && norm, 'a step gives losses and a norm')
      for (const [label, loss] of losses.data.entries()) {
        total += loss
        if (!Number.isFinite(loss)) broken ??= { batch: i, label }
      }
      gradNorm = Number(norm.data[0])
      tokens += batch.tokens
    }
    return { loss: total / labelled, gradNorm, labelled, tokens, ...(broken ? { broken } : {}) }
  }

  /** The trained tensors by id. */
  async parameters(): Promise<Map<string, TypedTensor<'f32'>>> {
    const values = await this.#executable.readState(this.trained.groups.map((g) => g.name))
    const out = new Map<string, TypedTensor<'f32'>>()
    for (const group of this.trained.groups) {
      const flat = values[group.name]
      invariant(flat, `${group.name} is not in the state`)
      for (const [id, value] of unpackGroup(group, flat)) out.set(id, value)
    }
    return out
  }

  /** Everything that the next step depends on, between steps. */
  async readState(): Promise<Record<string, HostTensor>> {
    const names = this.trained.groups.flatMap((g) => [
      g.name,
      ...optimizers[this.#options.optimizer].moments.map((m) => `${g.name}.${m}`),
    ])
    return await this.#executable.readState(names)
  }

  /** Takes back what `readState` gave. */
  async writeState(state: Tensors): Promise<void> {
    const sums = this.#options.accumulates
      ? this.trained.groups.map((g) => [`${g.name}.gradient`, zeros('f32', [g.size])] as const)
      : []
    await this.#executable.writeState({ ...state, ...Object.fromEntries(sums) })
  }

  /** What the steps so far took, where the engine keeps times and `profile` was asked for; ends profiling. */
  async profile(): Promise<Profile | undefined> {
    return await this.#executable.profile?.()
  }

  async dispose(): Promise<void> {
    await this.#executable.dispose()
  }

  #besides(group: string): string[] {
    const moments = optimizers[this.#options.optimizer].moments.map((m) => `${group}.${m}`)
    return this.#options.accumulates ? [...moments, `${group}.gradient`] : moments
  }

  async #feeds(batch: Batch, step: number): Promise<Tensors> {
    const feeds = batchTensors(batch, this.trained.model, [this.trained.layout])
    const { dropoutSeed, prefixRows } = this.#options
    if (this.#drops) feeds.dropoutKeys = dropoutKeys(batch, dropoutSeed, step)
    if (this.graph.inputs.has('stepKey')) feeds.stepKey = stepKey(dropoutSeed, step)
    return prefixRows ? await prefixRows.feedsOf(this.graph, batch, feeds) : feeds
  }
}

/**
 * Keys of dropout masks, `u32[batch, seq]`: from the seed, the optimizer step, the sample's place in the data and the
 * token's place in the sample, and nothing else, so that batching, bucketing and resuming leave the masks alone.
 */
export function dropoutKeys(batch: Batch, seed: number, step: number): TypedTensor<'u32'> {
  const { places, positions } = batch
  const high = Math.floor(seed / 2 ** 32)
  const data = Uint32Array.from(places.data, (place, i) =>
    hashKey(seed, high, step, place, Number(positions.data[i] ?? 0n)),
  )
  return { dtype: 'u32', shape: places.shape, data }
}

/** Key of masks that no row owns. */
function stepKey(seed: number, step: number): TypedTensor<'u32'> {
  return { dtype: 'u32', shape: [1], data: Uint32Array.of(hashKey(seed, Math.floor(seed / 2 ** 32), step)) }
}

const scalar = (value: number): HostTensor => f32([], [value])
const flag = (on: boolean): HostTensor => ({ dtype: 'bool', shape: [], data: Uint8Array.of(on ? 1 : 0) })
