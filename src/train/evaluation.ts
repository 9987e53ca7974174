/**
 * @file Token-weighted loss over batches, by whatever graph gives `losses: f32[labelled]` for them.
 * Must not know models, adapters or where batches come from.
 */

import type { Batch } from '../data/batch.ts'
import type { Executable } from '../engine/engine.ts'
import type { Graph } from '../graph/types.ts'
import type { Model } from '../models/model.ts'
import type { AdapterLayout } from '../peft/layout.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { batchTensors } from './batch-tensors.ts'
import { Measure, type Told } from './measure.ts'
import type { Metrics } from './metrics.ts'
import { objectiveOf } from './objectives.ts'
import type { PrefixRows } from './prefix-rows.ts'

export interface Evaluation {
  /** Sum of the losses of all labels over their number. */
  loss: number
  /** Labels that counted. */
  tokens: number
  examples: number
  /** Of the task, by name; none of a language model's. */
  metrics: Metrics
  /** What was told of the rows, where the task is measured by it. */
  told: Told | undefined
}

export interface LossOptions {
  readonly model: Pick<Model, 'reads' | 'spec' | 'raw'>
  /** Of the adapters in the graph, in their order. */
  readonly layouts?: readonly Pick<AdapterLayout, 'invocation'>[] | undefined
  /** The graph is one above a frozen prefix. */
  readonly above?: { readonly graph: Graph; readonly rows: PrefixRows } | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Loss over batches (see `buildEvaluation`). Sums are kept in f64.
 * @throws LowrankError `numeric` naming an example whose loss is not finite; `stopped`
 */
export async function evaluateLosses(
  executable: Executable,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  options: LossOptions,
): Promise<Evaluation> {
  let [sum, tokens, examples] = [0, 0, 0]
  const measure = new Measure(options.model.spec)
  for await (const { batch, losses, logits } of labelLosses(executable, batches, options)) {
    for (const loss of losses) sum += loss
    tokens += losses.length
    examples += batch.examples
    if (logits) measure.add(batch, logits)
  }
  const loss = tokens === 0 ? 0 : sum / tokens
  return { loss, tokens, examples, metrics: measure.metrics(), told: measure.told() }
}

/** The loss of each label of each batch, in the order of `batch.labelRows`, and its logits where the task has metrics. */
export async function* labelLosses(
  executable: Executable,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  { model, layouts = [], above, signal }: LossOptions,
): AsyncGenerator<{ batch: Batch; losses: Float32Array; logits?: Float32Array }> {
  const fetch = objectiveOf(model).measures ? ['losses', 'logits'] : ['losses']
  for await (const batch of batches) {
    if (signal?.aborted) throw new LowrankError('stopped', 'evaluation was stopped')
    const own = batchTensors(batch, model, layouts)
    const feeds = above ? await above.rows.feedsOf(above.graph, batch, own) : own
    const { losses, logits } = await executable.run(feeds, { fetch, ...(signal ? { signal } : {}) })
    invariant(losses?.dtype === 'f32', 'an evaluation graph gives losses')
    const bad = losses.data.findIndex((loss) => !Number.isFinite(loss))
    if (bad >= 0) throw notFinite(batch, bad, losses.data[bad] ?? Number.NaN)
    yield { batch, losses: losses.data, ...(logits?.dtype === 'f32' ? { logits: logits.data } : {}) }
  }
}

function notFinite({ labelRows, places }: Batch, at: number, loss: number): LowrankError {
  const row = places.data[Number(labelRows.data[at])] ?? 0
  return new LowrankError('numeric', `the loss of row ${row + 1} of the rows to evaluate on is ${loss}`, {
    suggestion: 'the weights or the adapter hold values that are not finite or too large',
  })
}
