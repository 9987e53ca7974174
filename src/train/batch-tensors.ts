/**
 * @file The tensors a batch feeds to a graph of losses (train/loss-graph.ts declares them).
 * Must not know models or engines.
 */
import type { Batch } from '../data/batch.ts'
import { forwardTensors } from '../models/forward-tensors.ts'
import type { Model } from '../models/model.ts'
import { activeTokens } from '../peft/activation.ts'
import type { AdapterLayout } from '../peft/layout.ts'
import { invariant } from '../support/errors.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { objectiveOf } from './objectives.ts'

/** Name of the feed that says at which tokens adapter number `index` acts. */
export function activeFeed(index: number): string {
  return `activeTokens.${index}`
}

/** Everything but dropout keys. @param layouts of the adapters on the base, in their order in the graph */
export function batchTensors(
  batch: Batch,
  model: Pick<Model, 'reads' | 'spec' | 'raw'>,
  layouts: readonly Pick<AdapterLayout, 'invocation'>[],
): Record<string, HostTensor> {
  const { ids, segments, labelRows } = batch
  const feeds: Record<string, HostTensor> = { ...forwardTensors(batch, model), labelRows }
  const { target } = objectiveOf(model)
  const wanted = batch[target]
  invariant(wanted, `the batch has no ${target}`)
  feeds[target] = wanted
  for (const [i, { invocation }] of layouts.entries())
    if (invocation) feeds[activeFeed(i)] = activeTokens(ids, segments, invocation)
  return feeds
}
