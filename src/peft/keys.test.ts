import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { ModuleInfo } from '../models/modules.ts'
import { isLowrankError, type LowrankError } from '../support/errors.ts'
import { f32, type HostTensor } from '../tensor/host-tensor.ts'
import { adapterTensorsToSave, loadAdapterTensors } from './adapter-tensors.ts'
import { initAdapter } from './init.ts'
import { matchKeys } from './keys.ts'
import { type LayoutOptions, layoutAdapter } from './layout.ts'

interface Golden {
  models: Record<string, ModuleInfo[]>
  cases: { model: string; config: Partial<LayoutOptions>; keys?: Record<string, number[]> }[]
}
const golden: Golden = JSON.parse(readFileSync(new URL('../../test/goldens/peft/keys.json', import.meta.url), 'utf8'))
const llama = golden.models.llama ?? []
const layout = (options: Partial<LayoutOptions>, modules = llama) =>
  layoutAdapter(modules, { r: 4, lora_alpha: 8, target_modules: ['q_proj', 'v_proj'], ...options }, { loaded: true })

const entries = (shapes: Record<string, number[]>) => Object.entries(shapes).map(([name, shape]) => ({ name, shape }))
const of = (options: Partial<LayoutOptions>, modules = llama) =>
  Object.fromEntries(layout(options, modules).tensors.map((t) => [`base_model.model.${t.id}`, [...t.shape]]))

function refusal(shapes: Record<string, number[]>, options: Partial<LayoutOptions> = {}): LowrankError {
  try {
    matchKeys(layout(options), llama, entries(shapes), 'a/adapter_model.safetensors')
  } catch (error) {
    if (isLowrankError(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}

describe('keys of an adapter file', () => {
  it('every file PEFT wrote is matched in full', () => {
    // PEFT nests wrappers there, or parts what it ties, which layoutAdapter refuses (test/parity/peft-keys.test.ts).
    const nested =
      /"mlp","up_proj"|_indices":\[\]|"modules_to_save":\["(embed_tokens|lm_head)"\],"trainable|"lm_head"\],"trainable|_pattern":\{"lm_head|true,"target_modules":.*"use_dora/
    const cases = golden.cases.filter((c) => c.keys && !nested.test(JSON.stringify(c.config)))
    expect(cases.length).toBeGreaterThan(85)
    let overrides = 0
    for (const { model, config, keys = {} } of cases) {
      const modules = golden.models[model] ?? []
      const options = { r: 8, lora_alpha: 8, ...config }
      const adapter = layoutAdapter(modules, options, { modelType: model.split('-')[0], loaded: true })
      const match = matchKeys(adapter, modules, entries(keys))
      expect([...match.keys.keys()].sort()).toEqual(
        adapter.tensors
          .filter((t) => t.trained && !t.sameAs)
          .map((t) => t.id)
          .sort(),
      )
      overrides += match.overrides.length
    }
    expect(overrides).toBeGreaterThan(10)
  })

  it('tells another rank in one line', () => {
    const error = refusal(of({ r: 16 }))
    expect(error).toMatchObject({ code: 'format', file: 'a/adapter_model.safetensors' })
    expect(error.message).toMatch(/the config says rank 4, the file holds rank 16 \(8 tensors\)/)
    expect(error.message).toContain('model.layers.{0-1}.self_attn.q_proj.lora_A.weight [16,8] where [4,8] is expected')
  })

  it('tells an adapter of another base', () => {
    const gpt2 = golden.models.gpt2 ?? []
    expect(refusal(of({ target_modules: ['c_attn'] }, gpt2)).message).toMatch(
      /modules that this base does not have, .* another base/,
    )
    const wide = Object.fromEntries(
      Object.entries(of({})).map(([key, shape]) => [key, shape.map((n) => (n === 8 ? 16 : n))]),
    )
    expect(refusal(wide).message).toMatch(/other sizes than those of this base, so it was made for another base/)
  })

  it('lists everything that is missing and unexpected, and what a name was probably meant to be', () => {
    const shapes: Record<string, number[]> = { ...of({}), ...of({ target_modules: ['up_proj'] }) }
    delete shapes['base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight']
    shapes['base_model.model.model.layers.1.self_attn.v_proj.lora_b.weight'] = [4, 4]
    const error = refusal(shapes)
    expect(error.message).toMatch(/its config and its tensors disagree|config/)
    expect(error.message).toContain('missing (1):\n    base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight')
    expect(error.message).toContain('base_model.model.model.layers.{0-1}.mlp.up_proj.lora_A.weight')
    expect(error.suggestion).toMatch(/v_proj\.lora_b\.weight looks like .*v_proj\.lora_B\.weight/)
  })

  it('tells a missing prefix, an empty file and a resized vocabulary', () => {
    const bare = Object.fromEntries(
      Object.entries(of({})).map(([key, shape]) => [key.replace('base_model.model.', ''), shape]),
    )
    expect(refusal(bare).message).toMatch(/keys do not begin with base_model\.model\./)
    expect(refusal({}).message).toMatch(/8 of 8 tensors that the config calls for are not in the file/)
    expect(refusal({ ...of({}), 'base_model.model.model.embed_tokens.weight': [44, 8] }).message).toMatch(
      /base weights of another size/,
    )
  })

  it('takes base weights that a file brings along', () => {
    const shapes = { ...of({}), 'base_model.model.lm_head.weight': [40, 8] }
    expect(matchKeys(layout({}), llama, entries(shapes)).overrides).toEqual([
      { module: 'lm_head', parameter: 'weight', key: 'base_model.model.lm_head.weight' },
    ])
  })
})

describe('tensors of an adapter file', () => {
  const bias = golden.models['llama-bias'] ?? []
  const base = (source: string): HostTensor => {
    const module = bias.find(
      (m) => source.startsWith(`${m.path}.`) && source.split('.').length === m.path.split('.').length + 1,
    )
    const shape = module?.parameters.find((p) => source.endsWith(`.${p.name}`))?.shape ?? []
    return f32(
      shape,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => source.length + i),
    )
  }

  it('survive saving and loading, with twins and base tensors under their own keys', async () => {
    const options = { bias: 'all', modules_to_save: ['mlp'], target_modules: ['q_proj', 'embed_tokens'] } as const
    const adapter = layout(options, bias)
    const trained = await initAdapter(adapter, { seed: 1, init: false }, base)
    const saved = await adapterTensorsToSave(adapter, trained, base)
    expect([...saved.keys()].sort()).toEqual(Object.keys(of(options, bias)).sort())
    const copy = 'base_model.model.model.layers.0.mlp.modules_to_save.default.up_proj.bias'
    expect(saved.get(copy)).toBe(trained.get('model.layers.0.mlp.up_proj.bias'))
    const loaded = loadAdapterTensors(adapter, bias, saved)
    expect(loaded.trained).toEqual(trained)
    expect(loaded.base).toEqual(new Map([['model.embed_tokens.weight', base('model.embed_tokens.weight')]]))
  })
})
