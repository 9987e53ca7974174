import { rmSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { blocksOf, follow, typeErrors } from '../setup/doc-example.ts'
import { type GuideModules, type GuideRun, guideBatch, modulesOf, trainGuide } from '../setup/guide-run.ts'

const root = follow(blocksOf('docs/adding-a-method.md'))
afterAll(() => rmSync(root, { recursive: true }))

/** GPT-2 has both a Conv1D's columns and biases that must stay unscaled. */
const CONFIGS = [
  {
    model_type: 'llama',
    vocab_size: 11,
    hidden_size: 16,
    intermediate_size: 24,
    num_attention_heads: 2,
    num_hidden_layers: 2,
  },
  { model_type: 'gpt2', vocab_size: 11, n_embd: 16, n_head: 2, n_layer: 2, n_positions: 16 },
]
const OPTIONS = { peft_type: 'SCALING', r: 1, lora_alpha: 1, target_modules: 'all-linear' }

describe('docs/adding-a-method.md', () => {
  it('compiles when it is followed', () => {
    expect(typeErrors(root, 'src/peft/layout.ts')).toEqual([])
  })

  it.each(CONFIGS)('gives a method that trains and merges on $model_type', async (config) => {
    const m = await modulesOf(root)
    const run = await trainGuide(m, config, OPTIONS, 20)
    const site = run.layout.sites[0]
    expect(run.trained.get(`${site?.path}.scaling_l`)?.shape).toEqual([site?.outFeatures])
    expect(run.trained.size).toBe(run.layout.sites.length)
    const [first = 0, last = 0] = [run.losses[0], run.losses.at(-1)]
    expect(last).toBeLessThan(first - 0.02)
    const adapted = await lossOf(m, run, run.weights, true)
    const merged = await lossOf(m, run, mergedWeights(m, run), false)
    expect(Math.abs(merged - adapted)).toBeLessThan(1e-5)
    expect(Math.abs(adapted - first)).toBeGreaterThan(0.02)
  })
})

function mergedWeights(m: GuideModules, { model, layout, weights, trained }: GuideRun): Map<string, HostTensor> {
  const out = new Map(weights)
  for (const { name, source, compute } of m.merge.planMerge(model.modules, [{ name: 'a', layout, values: trained }])
    .tensors) {
    const base = weights.get(source)
    if (base) out.set(name, compute(base))
  }
  return out
}

/** Mean loss on the guide's batch, with the adapter or as the weights alone have it. */
async function lossOf(
  m: GuideModules,
  run: GuideRun,
  weights: ReadonlyMap<string, HostTensor>,
  adapted: boolean,
): Promise<number> {
  const { model, layout } = run
  const used = adapted ? layout : { sites: [], tensors: [], tokens: [] }
  const groups = m.groups.groupParameters(used.tensors)
  const graph = m.step.buildEvaluation({ model, layout: used, groups, dropout: 0, followsTies: false })
  const engine = m.engine.referenceEngine()
  const executable = await engine.compile(m.prepare.prepare(graph, engine.composites), { weights })
  await executable.writeState(
    Object.fromEntries(groups.map((group) => [group.name, m.groups.packGroup(group, run.trained)])),
  )
  const { ids, positions, segments, labelRows, labels } = guideBatch(m)
  const { losses } = await executable.run({ ids, positions, segments, labelRows, labels })
  const values = Array.from(losses?.data ?? [], Number)
  return values.reduce((sum, x) => sum + x, 0) / values.length
}
