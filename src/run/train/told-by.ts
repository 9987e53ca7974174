/** @file What a run's evaluations told of the rows held out, kept for its report. Must not know reports. */
import type { HostTensor } from '../../tensor/host-tensor.ts'
import type { Progress } from '../../train/checkpoint.ts'
import type { Evaluation } from '../../train/evaluation.ts'
import type { Told } from '../../train/measure.ts'
import type { Evaluator } from './evaluator.ts'

/** Holds what the newest evaluation told and what the best one did. */
export class ToldBy {
  readonly #steps = new Map<number, Told>()

  async evaluate(evaluator: Evaluator, { step, best }: Progress): Promise<Evaluation> {
    const found = await evaluator.run()
    for (const kept of this.#steps.keys()) if (kept !== best?.step) this.#steps.delete(kept)
    if (found.told) this.#steps.set(step, found.told)
    return found
  }

  /** For a step's weights; evaluated anew where a former process did it. */
  lookup(evaluator: Evaluator): (step: number, values: ReadonlyMap<string, HostTensor>) => Promise<Told | undefined> {
    return async (step, values) =>
      evaluator.measures ? (this.#steps.get(step) ?? (await evaluator.run(values)).told) : undefined
  }
}
