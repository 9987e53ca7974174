/** @file Gradients do not depend on how rows are put together: accumulation equals the big batch, packing equals padding. */
import { describe, expect, it } from 'vitest'
import type { Batch } from '../../src/data/batch.ts'
import { collate } from '../../src/data/collate.ts'
import { prepare } from '../../src/engine/prepare.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { packGroup } from '../../src/train/parameter-groups.ts'
import { buildGradients } from '../../src/train/step-graph.ts'
import { batchOf, type Case, feedsOf, openCase } from '../parity/case.ts'
import { sharedPath } from '../setup/shared.ts'

const cases = ['llama', 'gpt2', 'mistral-window'].flatMap((name) => sharedPath('conformance', 'cases', name) ?? [])

/** Sum over `batches` of the gradients of their losses divided by all labels, in f64. */
async function summed(
  engine: ReturnType<typeof referenceEngine>,
  c: Case,
  batches: readonly Batch[],
): Promise<Map<string, Float64Array>> {
  const executable = await engine.compile(prepare(buildGradients(c.trained), engine.composites), { weights: c.weights })
  await executable.writeState(Object.fromEntries(c.trained.groups.map((g) => [g.name, packGroup(g, c.start)])))
  const labelled = batches.reduce((n, b) => n + b.labels.data.length, 0)
  const sums = new Map<string, Float64Array>()
  for (const batch of batches) {
    const found = await executable.runExact({
      ...feedsOf(batch),
      lossWeight: { dtype: 'f32', shape: [], data: Float64Array.of(1 / labelled) },
    })
    for (const [name, value] of Object.entries(found)) {
      if (!name.startsWith('grad.')) continue
      const sum = sums.get(name) ?? new Float64Array(value.data.length)
      value.data.forEach((x, i) => {
        sum[i] = (sum[i] ?? 0) + x
      })
      sums.set(name, sum)
    }
  }
  await executable.dispose()
  return sums
}

function worstDistance(expected: Map<string, Float64Array>, actual: Map<string, Float64Array>): number {
  let worst = 0
  for (const [name, want] of expected) {
    const got = actual.get(name) ?? new Float64Array(want.length)
    const norm = Math.hypot(...want)
    worst = Math.max(worst, Math.hypot(...want.map((x, i) => x - (got[i] ?? 0))) / Math.max(norm, 1e-12))
  }
  return worst
}

describe.skipIf(cases.length === 0).each(cases)('gradients of %s', (folder) => {
  it('accumulated over 4 batches of 2 equal those of a batch of 8', async () => {
    const c = await openCase(folder)
    const rows = c.examples.slice(0, 8)
    const big = await summed(referenceEngine(), c, [batchOf(rows)])
    const parts = await summed(
      referenceEngine(),
      c,
      [0, 2, 4, 6].map((i) => batchOf(rows.slice(i, i + 2))),
    )
    expect(worstDistance(big, parts)).toBeLessThan(1e-9)
  })

  it('of packed rows equal those of padded rows', async () => {
    const c = await openCase(folder)
    const rows = c.examples.slice(0, 6)
    const padded = await summed(referenceEngine(), c, [batchOf(rows)])
    const packed = await summed(referenceEngine(), c, [collate([rows.slice(0, 4), rows.slice(4)])])
    expect(worstDistance(padded, packed)).toBeLessThan(1e-9)
  })
})
