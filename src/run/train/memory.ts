/** @file Whether a run fits in memory without recomputing activations. Must not know engines. */
import { readFile } from 'node:fs/promises'
import { freemem } from 'node:os'
import type { Dataset } from '../../data/dataset.ts'
import { liveBytes } from '../../passes/live-bytes.ts'
import { buildStep } from '../../train/step-graph.ts'
import type { TrainSettings } from './settings.ts'
import type { Subject } from './subject.ts'

/** Share of free memory a run may take before activations are recomputed. */
const SHARE = 0.8

/** Estimates the most that is alive at once in a step on the longest rows. */
export async function fitsWithoutRecompute(
  settings: TrainSettings,
  { trained }: Subject,
  data: Dataset,
): Promise<boolean> {
  const { graph } = buildStep(trained, {
    optimizer: settings.optimizer,
    weightDecay: settings.weightDecay,
    maxGradNorm: settings.maxGradNorm,
    accumulates: settings.gradAccumulation > 1,
    dropout: true,
  })
  const [batch, seq] = [Math.min(settings.batchSize, data.length), longestRow(settings, data)]
  const dims = new Map([
    ['batch', batch],
    ['seq', seq],
    ['labelled', batch * seq],
  ])
  return liveBytes(graph, dims) < SHARE * (await freeMemory())
}

function longestRow({ packing, maxLength }: TrainSettings, data: Dataset): number {
  let [longest, all] = [1, 0]
  for (let i = 0; i < data.length; i++) {
    longest = Math.max(longest, data.lengthOf(i))
    all += data.lengthOf(i)
  }
  return packing ? Math.max(longest, Math.min(maxLength, all)) : longest
}

/** What the kernel could give without swapping: free pages and caches. */
async function freeMemory(): Promise<number> {
  const info = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(info)?.[1]
  return available === undefined ? freemem() : Number(available) * 1024
}
