import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { ModuleInfo } from '../models/modules.ts'
import { f32, type HostTensor } from '../tensor/host-tensor.ts'
import { initAdapter } from './init.ts'
import { type LayoutOptions, layoutAdapter } from './layout.ts'
import { asF32, storeLike } from './low-rank-update.ts'
import { type MergeAdapter, planMerge } from './merge-model.ts'

const models: Record<string, ModuleInfo[]> = JSON.parse(
  readFileSync(new URL('../../test/goldens/peft/keys.json', import.meta.url), 'utf8'),
).models
const tied = models['llama-tied'] ?? []
const biased = models['llama-bias'] ?? []

/** A base tensor whose values tell where it comes from. */
const base =
  (modules: readonly ModuleInfo[]) =>
  (source: string): HostTensor => {
    for (const { path, parameters } of modules)
      for (const { name, shape } of parameters)
        if (source === `${path}.${name}`)
          return f32(
            shape,
            Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + source.length)),
          )
    throw new Error(`no ${source}`)
  }

async function adapter(
  name: string,
  modules: readonly ModuleInfo[],
  options: Partial<LayoutOptions>,
  seed = 1,
): Promise<MergeAdapter> {
  const layout = layoutAdapter(modules, { r: 2, lora_alpha: 4, target_modules: ['q_proj'], ...options })
  const first = await initAdapter(layout, { seed, init: false }, base(modules))
  // Trained copies must differ from the base to show.
  const values = new Map(
    [...first].map(([id, t]) => [
      id,
      f32(
        t.shape,
        t.data.map((x) => x + 0.25),
      ),
    ]),
  )
  return { name, layout, values }
}
const names = (plan: ReturnType<typeof planMerge>) => plan.tensors.map((t) => t.name)
const compute = (plan: ReturnType<typeof planMerge>, modules: readonly ModuleInfo[], name: string) => {
  const found = plan.tensors.find((t) => t.name === name)
  if (!found) throw new Error(`${name} does not change`)
  return found.compute(base(modules)(found.source))
}

describe('planMerge', () => {
  it('changes what the adapter touches and nothing else', async () => {
    const plan = planMerge(biased, [await adapter('a', biased, { bias: 'lora_only', modules_to_save: ['model.norm'] })])
    expect(names(plan).sort()).toEqual([
      'model.layers.0.self_attn.q_proj.bias',
      'model.layers.0.self_attn.q_proj.weight',
      'model.layers.1.self_attn.q_proj.bias',
      'model.layers.1.self_attn.q_proj.weight',
      'model.norm.weight',
    ])
    expect(plan.untied).toEqual([])
    const norm = base(biased)('model.norm.weight')
    expect(asF32(compute(plan, biased, 'model.norm.weight'), '')).toEqual(asF32(norm, '').map((x) => x + 0.25))
  })

  it('a bias on B goes to the layer, on top of a trained bias', async () => {
    const one = await adapter('a', biased, { lora_bias: true, bias: 'all' })
    const plan = planMerge(biased, [{ ...one, weight: 0.5 }])
    const path = 'model.layers.0.self_attn.q_proj'
    const trained = asF32(one.values.get(`${path}.base_layer.bias`) ?? f32([0], []), '')
    const onB = asF32(one.values.get(`${path}.lora_B.bias`) ?? f32([0], []), '')
    const merged = asF32(compute(plan, biased, `${path}.bias`), '')
    for (const [i, x] of merged.entries()) expect(x).toBeCloseTo((trained[i] ?? 0) + 0.5 * 2 * (onB[i] ?? 0), 6)
    const bare = models.llama ?? []
    const other = await adapter('b', bare, { lora_bias: true })
    expect(() => planMerge(bare, [other])).toThrow(/lora_bias: adapter b .* which has none to merge it into/)
  })

  it('adds weighted adapters', async () => {
    const [one, two] = [await adapter('a', tied, {}), await adapter('b', tied, { r: 3 }, 9)]
    const name = 'model.layers.1.self_attn.q_proj.weight'
    const weight = asF32(base(tied)(name), '')
    const merged = (adapters: MergeAdapter[]) => asF32(compute(planMerge(tied, adapters), tied, name), '')
    const [a, b] = [merged([one]), merged([two])]
    const both = merged([
      { ...one, weight: 0.5 },
      { ...two, weight: -1 },
    ])
    for (const [i, w] of weight.entries())
      expect(both[i]).toBeCloseTo(w + 0.5 * ((a[i] ?? 0) - w) - ((b[i] ?? 0) - w), 5)
  })

  it('unties a head when it and the embedding part', async () => {
    const embedding = planMerge(tied, [await adapter('a', tied, { target_modules: ['embed_tokens'] })])
    expect([names(embedding), embedding.untied]).toEqual([['model.embed_tokens.weight', 'lm_head.weight'], ['lm_head']])
    expect(compute(embedding, tied, 'lm_head.weight')).toEqual(base(tied)('model.embed_tokens.weight'))
    const head = planMerge(tied, [await adapter('a', tied, { target_modules: ['lm_head'] })])
    expect([names(head), head.untied]).toEqual([['lm_head.weight'], ['lm_head']])
    const saved = planMerge(tied, [await adapter('a', tied, { modules_to_save: ['lm_head'] })])
    expect(saved.untied).toEqual(['lm_head'])
  })

  it('trained rows keep a tied head tied, until something else parts them', async () => {
    const rows = await adapter('rows', tied, { trainable_token_indices: [3, 5] })
    const plan = planMerge(tied, [rows])
    expect(plan.untied).toEqual([])
    expect(names(plan)).toContain('model.embed_tokens.weight')
    expect(names(plan)).not.toContain('lm_head.weight')
    const both = planMerge(tied, [rows, await adapter('head', tied, { target_modules: ['embed_tokens'] })])
    expect(both.untied).toEqual(['lm_head'])
    const head = asF32(compute(both, tied, 'lm_head.weight'), '')
    const weight = asF32(base(tied)('model.embed_tokens.weight'), '')
    expect([...head.slice(24, 32)]).toEqual([...weight.slice(24, 32).map((x) => x + 0.25)])
    expect([...head.slice(0, 24)]).toEqual([...weight.slice(0, 24)])
  })

  it('refuses two adapters that replace the same thing', async () => {
    const copies = [
      await adapter('a', tied, { modules_to_save: ['norm'] }),
      await adapter('b', tied, { modules_to_save: ['norm'] }),
    ]
    expect(() => planMerge(tied, copies)).toThrow(/input_layernorm\.weight is replaced by two adapters, a and b/)
    const rows = [
      await adapter('a', tied, { trainable_token_indices: [3] }),
      await adapter('b', tied, { trainable_token_indices: [3, 4] }),
    ]
    expect(() => planMerge(tied, rows)).toThrow(/adapters a and b both replace token 3/)
  })

  it('keeps the dtype of the base', async () => {
    const plan = planMerge(tied, [await adapter('a', tied, { modules_to_save: ['norm'] })])
    for (const tensor of plan.tensors) {
      const held = base(tied)(tensor.source)
      expect(tensor.compute(storeLike({ dtype: 'bf16', shape: held.shape }, asF32(held, ''))).dtype).toBe('bf16')
    }
  })
})
