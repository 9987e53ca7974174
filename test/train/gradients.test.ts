/** @file Gradients do not depend on how rows are put together: accumulation equals the big batch, packing equals padding. */
import { afterAll, describe, expect, it } from 'vitest'
import type { Batch } from '../../src/data/batch.ts'
import { collate } from '../../src/data/collate.ts'
import type { Engine, Executable, Tensors } from '../../src/engine/engine.ts'
import { prepare } from '../../src/engine/prepare.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { type ReferenceExecutable, referenceEngine } from '../../src/engines/reference/index.ts'
import { packGroup } from '../../src/train/parameter-groups.ts'
import { buildGradients } from '../../src/train/step-graph.ts'
import { batchOf, type Case, feedsOf, openCase, scalar } from '../parity/case.ts'
import { sharedPath } from '../setup/shared.ts'
import { EXACT, F32_GRADIENT } from '../tolerances.ts'

const shared = sharedPath('conformance', 'cases')
const cases = ['llama', 'gpt2', 'mistral-window'].map((name) => `${shared}/${name}`)

/** Sum over `batches` of the gradients of their losses divided by all labels: in f64, or as an f32 engine gives them. */
async function summed(engine: Engine, c: Case, batches: readonly Batch[]): Promise<Map<string, Float64Array>> {
  const executable = await engine.compile(prepare(buildGradients(c.trained), engine.composites), { weights: c.weights })
  await executable.writeState(Object.fromEntries(c.trained.groups.map((g) => [g.name, packGroup(g, c.start)])))
  const labelled = batches.reduce((n, b) => n + b.labels.data.length, 0)
  const sums = new Map<string, Float64Array>()
  for (const batch of batches) {
    for (const [name, data] of await gradientsOf(executable, feedsOf(c, batch), 1 / labelled)) {
      const sum = sums.get(name) ?? new Float64Array(data.length)
      data.forEach((x, i) => {
        sum[i] = (sum[i] ?? 0) + x
      })
      sums.set(name, sum)
    }
  }
  await executable.dispose()
  return sums
}

async function gradientsOf(executable: Executable, feeds: Tensors, weight: number): Promise<[string, Float64Array][]> {
  const found = isReference(executable)
    ? await executable.runExact({
        ...feeds,
        lossWeight: { dtype: 'f32', shape: [], data: Float64Array.of(weight) },
      })
    : await executable.run({ ...feeds, lossWeight: scalar(weight) })
  return Object.entries(found)
    .filter(([name]) => name.startsWith('grad.'))
    .map(([name, { data }]) => [name, Float64Array.from(data as ArrayLike<number>)])
}

const isReference = (executable: Executable): executable is ReferenceExecutable => 'runExact' in executable

function worstDistance(expected: Map<string, Float64Array>, actual: Map<string, Float64Array>): number {
  let worst = 0
  for (const [name, want] of expected) {
    const got = actual.get(name) ?? new Float64Array(want.length)
    const norm = Math.hypot(...want)
    worst = Math.max(worst, Math.hypot(...want.map((x, i) => x - (got[i] ?? 0))) / Math.max(norm, 1e-12))
  }
  return worst
}

const engines = [
  { engine: referenceEngine() as Engine, limit: EXACT },
  { engine: onnxruntimeEngine(), limit: F32_GRADIENT },
]
const table = engines.flatMap((e) => cases.map((folder) => ({ ...e, name: e.engine.name, folder })))

afterAll(async () => {
  for (const { engine } of engines) await engine.dispose()
})

describe.skipIf(!shared).each(table)('gradients of $folder by $name', ({ engine, limit, folder }) => {
  it('accumulated over 4 batches of 2 equal those of a batch of 8', async () => {
    const c = await openCase(folder)
    const rows = c.examples.slice(0, 8)
    const big = await summed(engine, c, [batchOf(c, rows)])
    const parts = await summed(
      engine,
      c,
      [0, 2, 4, 6].map((i) => batchOf(c, rows.slice(i, i + 2))),
    )
    expect(worstDistance(big, parts)).toBeLessThan(limit)
  })

  it('of packed rows equal those of padded rows', async () => {
    const c = await openCase(folder)
    const rows = c.examples.slice(0, 6)
    const padded = await summed(engine, c, [batchOf(c, rows)])
    const packed = await summed(engine, c, [collate([rows.slice(0, 4), rows.slice(4)])])
    expect(worstDistance(padded, packed)).toBeLessThan(limit)
  })
})
