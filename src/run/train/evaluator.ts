/** @file Evaluates a run's weights on rows that are not trained on. Must not know the loop. */
import type { Batch } from '../../data/batch.ts'
import type { Batches } from '../../data/batches.ts'
import type { Engine, Executable, WeightSource } from '../../engine/engine.ts'
import { prepare } from '../../engine/prepare.ts'
import type { Graph } from '../../graph/types.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { type Evaluation, evaluateLosses } from '../../train/evaluation.ts'
import { objectiveOf } from '../../train/objectives.ts'
import { packGroup } from '../../train/parameter-groups.ts'
import type { PrefixRows } from '../../train/prefix-rows.ts'
import type { TrainSession } from '../../train/session.ts'
import { buildEvaluationStep } from '../../train/step-graph.ts'

export interface EvaluatorOptions {
  readonly threads?: number
  /** What the frozen prefix makes of the rows held out; absent where there is none, or it is not kept. */
  readonly prefixRows?: PrefixRows | undefined
}

/** Has a graph of its own, without dropout, compiled when it is first needed. */
export class Evaluator {
  readonly #session: TrainSession
  readonly #engine: Engine
  readonly #weights: WeightSource
  readonly #batches: Batches
  readonly #options: EvaluatorOptions
  #compiled: { executable: Executable; graph: Graph } | undefined

  constructor(
    session: TrainSession,
    engine: Engine,
    weights: WeightSource,
    batches: Batches,
    options: EvaluatorOptions,
  ) {
    this.#session = session
    this.#engine = engine
    this.#weights = weights
    this.#batches = batches
    this.#options = options
  }

  /** Whether the task is measured by what is told, besides the loss. */
  get measures(): boolean {
    return objectiveOf(this.#session.trained.model).measures
  }

  /** @param given other weights than the present ones, by id */
  async run(given?: ReadonlyMap<string, HostTensor>): Promise<Evaluation> {
    const { trained } = this.#session
    const { prefixRows: rows } = this.#options
    this.#compiled ??= await this.#compile()
    const { executable, graph } = this.#compiled
    const values = given ?? (await this.#session.parameters())
    await executable.writeState(
      Object.fromEntries(trained.groups.map((group) => [group.name, packGroup(group, values)])),
    )
    return await evaluateLosses(executable, microBatches(this.#batches), {
      model: trained.model,
      layouts: [trained.layout],
      above: rows && { graph, rows },
    })
  }

  async #compile(): Promise<{ executable: Executable; graph: Graph }> {
    const { threads, prefixRows } = this.#options
    const step = buildEvaluationStep(this.#session.trained, { cutsPrefix: prefixRows !== undefined })
    const graph = prepare(step.graph, this.#engine.composites)
    const weights = this.#weights
    const executable = await this.#engine.compile(graph, { weights, ...(threads === undefined ? {} : { threads }) })
    return { executable, graph }
  }

  async dispose(): Promise<void> {
    await this.#compiled?.executable.dispose()
  }
}

function* microBatches(batches: Batches): Generator<Batch> {
  for (const step of batches.epoch()) yield* step.batches
}
