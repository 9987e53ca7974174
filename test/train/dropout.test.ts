/**
 * @file Dropout masks follow from the row, the token and the step alone: how rows are put together changes no gradient.
 * Tiny random models, f64 throughout.
 */
import { describe, expect, it } from 'vitest'
import type { Batch } from '../../src/data/batch.ts'
import { collate } from '../../src/data/collate.ts'
import type { Example } from '../../src/data/example.ts'
import { prepare } from '../../src/engine/prepare.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { parseHfConfig } from '../../src/formats/hf-config.ts'
import { loraConfig } from '../../src/formats/peft-config.ts'
import { modelOf } from '../../src/models/registry.ts'
import { initAdapter } from '../../src/peft/init.ts'
import { layoutAdapter } from '../../src/peft/layout.ts'
import { groupParameters, packGroup } from '../../src/train/parameter-groups.ts'
import { dropoutKeys } from '../../src/train/session.ts'
import { buildGradients } from '../../src/train/step-graph.ts'
import { type Json, tinyGpt2, tinyLlama, tinyWeights } from '../setup/tiny-model.ts'

const examples: Example[] = Array.from({ length: 8 }, (_, place) => {
  const ids = Int32Array.from({ length: 3 + ((place * 5) % 7) }, (_, t) => (place * 31 + t * 17) % 250)
  return { ids, labels: ids, place, source: `rows:${place + 1}` }
})

/** Sums the gradients of `batches` at a step, as one vector. */
async function gradients(config: Json, batches: readonly Batch[], { seed = 1, step = 0 } = {}): Promise<number[]> {
  const model = modelOf(parseHfConfig(config, 'config.json'))
  const weights = tinyWeights(config)
  const lora = loraConfig({ r: 4, target_modules: 'all-linear', lora_dropout: 0.3, init_lora_weights: false })
  const layout = layoutAdapter(model.modules, lora, { modelType: model.modelType })
  const groups = groupParameters(layout.tensors)
  const engine = referenceEngine()
  const graph = buildGradients({ model, layout, groups, dropout: lora.lora_dropout, followsTies: false }, true)
  const executable = await engine.compile(prepare(graph, engine.composites), { weights })
  const start = await initAdapter(layout, { seed: 3, init: false }, async (name) => {
    throw new Error(`no base weight is needed, but ${name} was asked for`)
  })
  await executable.writeState(Object.fromEntries(groups.map((group) => [group.name, packGroup(group, start)])))
  const labelled = batches.reduce((n, batch) => n + batch.labels.data.length, 0)
  const sums: number[] = []
  for (const batch of batches) {
    const { ids, positions, segments, labelRows, labels } = batch
    const found = await executable.runExact({
      ...{ ids, positions, segments, labelRows, labels, dropoutKeys: dropoutKeys(batch, seed, step) },
      lossWeight: { dtype: 'f32', shape: [], data: Float64Array.of(1 / labelled) },
    })
    const flat = Object.entries(found).flatMap(([name, { data }]) => (name.startsWith('grad.') ? [...data] : []))
    flat.forEach((x, i) => {
      sums[i] = (sums[i] ?? 0) + Number(x)
    })
  }
  await executable.dispose()
  return sums
}

function distance(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length)
  return Math.hypot(...a.map((x, i) => x - (b[i] ?? Number.NaN))) / Math.hypot(...a)
}

const padded = (rows: readonly Example[]): Batch => collate(rows.map((row) => [row]))
const pairs = [0, 2, 4, 6].map((i) => padded(examples.slice(i, i + 2)))

describe.each([
  ['lora_dropout on Llama', tinyLlama],
  [
    'attention, residual and embedding dropout of GPT-2',
    { ...tinyGpt2, attn_pdrop: 0.2, resid_pdrop: 0.1, embd_pdrop: 0.1 },
  ],
] as const)('%s', (_, config) => {
  it('drops the same in a batch of 8, in 4 of 2, and in another order', async () => {
    const whole = await gradients(config, [padded(examples)])
    expect(distance(whole, await gradients(config, pairs))).toBeLessThan(1e-9)
    expect(distance(whole, await gradients(config, [padded([...examples].reverse())]))).toBeLessThan(1e-9)
  })

  it('drops something else at another step or with another seed', async () => {
    const whole = await gradients(config, [padded(examples)])
    expect(distance(whole, await gradients(config, [padded(examples)], { step: 1 }))).toBeGreaterThan(1e-2)
    expect(distance(whole, await gradients(config, [padded(examples)], { seed: 2 }))).toBeGreaterThan(1e-2)
  })
})

it('packed rows drop what unpacked ones do', async () => {
  const packed = collate([examples.slice(0, 5), examples.slice(5)])
  const [a, b] = [await gradients(tinyLlama, [padded(examples)]), await gradients(tinyLlama, [packed])]
  expect(distance(a, b)).toBeLessThan(1e-9)
})
