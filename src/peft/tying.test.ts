import { describe, expect, it } from 'vitest'
import type { SiteModule } from '../models/modules.ts'
import { f32, type HostTensor, tensor } from '../tensor/host-tensor.ts'
import { adapterTensorsToSave, loadAdapterTensors } from './adapter-tensors.ts'
import { initAdapter } from './init.ts'
import { layoutAdapter } from './layout.ts'
import { planMerge } from './merge-model.ts'
import type { LayoutOptions } from './method.ts'

const embed: SiteModule = {
  path: 'model.embed_tokens',
  kind: 'embedding',
  inFeatures: 5,
  outFeatures: 3,
  parameters: [{ name: 'weight', shape: [5, 3] }],
  isInputEmbedding: true,
}
const head: SiteModule = {
  path: 'lm_head',
  kind: 'linear',
  inFeatures: 3,
  outFeatures: 5,
  parameters: [{ name: 'weight', shape: [5, 3] }],
  isOutputHead: true,
  tiedTo: 'model.embed_tokens',
}
const modules = [embed, head]
const weight = f32(
  [5, 3],
  Array.from({ length: 15 }, (_, i) => i / 7),
)
const base = (): HostTensor => weight

const lay = (options: Partial<LayoutOptions>, on = modules) =>
  layoutAdapter(on, { r: 2, lora_alpha: 4, ensure_weight_tying: true, ...options })
const factors = lay({ target_modules: ['lm_head'] })

/** Values none of which is zero, by id. */
async function values(layout = factors): Promise<Map<string, HostTensor>> {
  const start = await initAdapter(layout, { seed: 1, init: false }, base)
  return new Map(
    [...start].map(([id, t]) => [
      id,
      tensor(
        'f32',
        t.shape,
        t.data.map((v) => v + 0.1),
      ),
    ]),
  )
}

describe('ensure_weight_tying', () => {
  it('draws one pair of factors for both', async () => {
    expect([...(await values()).keys()]).toEqual([
      'model.embed_tokens.lora_embedding_A',
      'model.embed_tokens.lora_embedding_B',
    ])
  })

  it('writes them under both names and reads them back', async () => {
    const trained = await values()
    const saved = await adapterTensorsToSave(factors, trained, base)
    const [a, b] = ['lora_A', 'lora_B'].map((name) => saved.get(`base_model.model.lm_head.${name}.weight`))
    expect([a?.shape, b?.shape]).toEqual([
      [2, 3],
      [5, 2],
    ])
    expect(a?.data[1]).toBe(trained.get('model.embed_tokens.lora_embedding_B')?.data[2])
    expect(loadAdapterTensors(factors, modules, saved).trained).toEqual(trained)
  })

  it('refuses a file in which they part', async () => {
    const saved = await adapterTensorsToSave(factors, await values(), base)
    saved.set('base_model.model.lm_head.lora_A.weight', f32([2, 3], [1, 2, 3, 4, 5, 6]))
    expect(() => loadAdapterTensors(factors, modules, saved, 'a.safetensors')).toThrow(
      /lm_head\.lora_A\.weight and .*lora_embedding_B are tied, but the file holds different values/,
    )
  })

  it.each([
    ['factors', { target_modules: ['embed_tokens'] }],
    ['a trained copy', { target_modules: ['embed_tokens'], exclude_modules: [], modules_to_save: ['lm_head'] }],
  ])('merges %s into one tensor: the tie stays', async (_, options) => {
    // The copy takes the place of the factors, so something else must be a target there.
    const q: SiteModule = { ...embed, path: 'model.q_proj', kind: 'linear', isInputEmbedding: false }
    const tied = lay('modules_to_save' in options ? { ...options, target_modules: ['q_proj'] } : options, [
      q,
      ...modules,
    ])
    const adapter = { name: 'a', layout: tied, values: await values(tied) }
    const plan = planMerge([q, ...modules], [adapter])
    expect(plan.untied).toEqual([])
    expect(plan.tensors.map(({ name }) => name)).not.toContain('lm_head.weight')
    expect(plan.tensors.map(({ name }) => name)).toContain('model.embed_tokens.weight')
  })

  it('without it, factors on one of the two part them when merged', async () => {
    const parted = lay({ target_modules: ['embed_tokens'], ensure_weight_tying: false })
    const plan = planMerge(modules, [{ name: 'a', layout: parted, values: await values(parted) }])
    expect(plan.untied).toEqual(['lm_head'])
    const merged = new Map(plan.tensors.map((t) => [t.name, t.compute(weight)]))
    expect(merged.get('lm_head.weight')).toEqual(weight)
    expect(merged.get('model.embed_tokens.weight')).not.toEqual(weight)
  })

  it('puts head and embedding apart the same way where another adapter parts them', async () => {
    const parted = lay({ target_modules: ['lm_head'], ensure_weight_tying: false })
    const both = [
      { name: 'tied', layout: factors, values: await values() },
      { name: 'apart', layout: parted, values: await values(parted) },
    ]
    const plan = planMerge(modules, both)
    const alone = planMerge(modules, both.slice(0, 1))
    expect(plan.untied).toEqual(['lm_head'])
    const computed = (p: typeof plan, name: string) => p.tensors.find((t) => t.name === name)?.compute(weight)
    expect(computed(plan, 'model.embed_tokens.weight')).toEqual(computed(alone, 'model.embed_tokens.weight'))
    expect(computed(plan, 'lm_head.weight')).not.toEqual(computed(plan, 'model.embed_tokens.weight'))
  })

  it('refuses what would tie nothing or two things', () => {
    expect(() => lay({ target_modules: ['embed_tokens'], exclude_modules: ['embed_tokens'] })).toThrow(
      /exclude_modules/,
    )
    expect(() => lay({ target_modules: ['lm_head'], modules_to_save: ['embed_tokens'] })).toThrow(
      /lm_head shares the embedding's trained copy/,
    )
    expect(() =>
      lay({
        target_modules: ['lm_head'],
        ensure_weight_tying: false,
        trainable_token_indices: { embed_tokens: [1], lm_head: [2] },
      }),
    ).toThrow(/lm_head is a LoRA target already/)
  })

  it('refuses a start that is found in one of the two weights', () => {
    expect(() => lay({ target_modules: ['lm_head'], init_lora_weights: 'pissa' })).toThrow(/not pissa/)
  })

  it('says where nothing is tied', () => {
    const apart: SiteModule[] = [embed, { ...head, tiedTo: 'elsewhere' }]
    expect(lay({ target_modules: ['lm_head'] }, apart).notes).toEqual([
      'ensure_weight_tying: the model ties no head to its embedding',
    ])
  })
})
