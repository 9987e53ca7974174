/** @file The batches that `bench` takes steps on: random tokens, or rows from a file. Must not know engines. */
import type { Batch } from '../../data/batch.ts'
import { Batches } from '../../data/batches.ts'
import { collate } from '../../data/collate.ts'
import { datasetOf } from '../../data/dataset.ts'
import { NO_LABEL } from '../../data/example.ts'
import type { Model } from '../../models/model.ts'
import { RandomStream } from '../../support/random.ts'
import { labelsAtOf } from '../../train/objectives.ts'
import { readRows } from './rows.ts'

/** The rows of a file, each once, in the order that training has them: those of like length together. */
export async function rowBatches(file: string, batchSize: number, { spec }: Model): Promise<Batch[]> {
  const data = datasetOf(await readRows(file))
  const batches = new Batches(data, { batchSize, labelsAt: labelsAtOf(spec) })
  return [...batches.epoch()].flatMap((step) => step.batches)
}

/** Rows of random tokens, all of one length: a label each where the model tells texts apart, else every token. */
export function randomBatch(
  { batchSize, sequence }: { readonly batchSize: number; readonly sequence: number },
  { config, spec }: Model,
): Batch {
  const random = new RandomStream(0, 'bench')
  const rows = Array.from({ length: batchSize }, (_, place) => {
    const ids = Int32Array.from({ length: sequence }, () => random.below(config.vocabSize))
    const label = Int32Array.of(random.below(Math.max(1, spec.labels.length)))
    const labels = spec.task === 'classification' ? firstOf(label, sequence) : ids
    return [{ ids, labels, place, source: 'bench' }]
  })
  return collate(rows, { labelsAt: labelsAtOf(spec) })
}

/** The label of a whole text stands at its first token. */
function firstOf(label: Int32Array, length: number): Int32Array {
  const labels = new Int32Array(length).fill(NO_LABEL)
  labels.set(label)
  return labels
}
