/** @file Evaluates a run's present weights on the rows held out. Must not know the loop. */
import type { Batch } from '../../data/batch.ts'
import type { Batches } from '../../data/batches.ts'
import type { Engine, Executable, WeightSource } from '../../engine/engine.ts'
import { prepare } from '../../engine/prepare.ts'
import { type Evaluation, evaluateLosses } from '../../train/evaluation.ts'
import { packGroup } from '../../train/parameter-groups.ts'
import type { TrainSession } from '../../train/session.ts'
import { buildEvaluation } from '../../train/step-graph.ts'

/** Has a graph of its own, without dropout, compiled when it is first needed. */
export class Evaluator {
  readonly #session: TrainSession
  readonly #engine: Engine
  readonly #weights: WeightSource
  readonly #batches: Batches
  readonly #options: { threads?: number }
  #executable: Executable | undefined

  constructor(
    session: TrainSession,
    engine: Engine,
    weights: WeightSource,
    batches: Batches,
    options: { threads?: number },
  ) {
    this.#session = session
    this.#engine = engine
    this.#weights = weights
    this.#batches = batches
    this.#options = options
  }

  async run(): Promise<Evaluation> {
    const { trained } = this.#session
    this.#executable ??= await this.#engine.compile(prepare(buildEvaluation(trained), this.#engine.composites), {
      weights: this.#weights,
      ...this.#options,
    })
    const values = await this.#session.parameters()
    await this.#executable.writeState(
      Object.fromEntries(trained.groups.map((group) => [group.name, packGroup(group, values)])),
    )
    return await evaluateLosses(this.#executable, microBatches(this.#batches), {
      model: trained.model,
      layouts: [trained.layout],
    })
  }

  async dispose(): Promise<void> {
    await this.#executable?.dispose()
  }
}

function* microBatches(batches: Batches): Generator<Batch> {
  for (const step of batches.epoch()) yield* step.batches
}
