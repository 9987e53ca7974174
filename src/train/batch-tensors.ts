/**
 * @file The tensors a batch feeds to a graph of losses (train/loss-graph.ts declares them).
 * Must not know models or engines.
 */
import type { Batch } from '../data/batch.ts'
import { activeTokens } from '../peft/activation.ts'
import type { AdapterLayout } from '../peft/layout.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'

/** Name of the feed that says at which tokens adapter number `index` acts. */
export function activeFeed(index: number): string {
  return `activeTokens.${index}`
}

/** Everything but dropout keys. @param layouts of the adapters on the base, in their order in the graph */
export function batchTensors(
  batch: Batch,
  layouts: readonly Pick<AdapterLayout, 'invocation'>[],
): Record<string, HostTensor> {
  const { ids, positions, segments, labelRows, labels } = batch
  const feeds: Record<string, HostTensor> = { ids, positions, segments, labelRows, labels }
  for (const [i, { invocation }] of layouts.entries())
    if (invocation) feeds[activeFeed(i)] = activeTokens(ids, segments, invocation)
  return feeds
}
