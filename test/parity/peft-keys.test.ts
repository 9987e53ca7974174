/**
 * @file The tensors of an adapter, its ranks, scales and saved settings, as PEFT has them for tiny models
 * (scripts/goldens/peft_keys.py).
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parsePeftLoraConfig } from '../../src/formats/peft-config.ts'
import type { ModuleInfo } from '../../src/models/modules.ts'
import { fileKey } from '../../src/peft/keys.ts'
import { type LayoutOptions, layoutAdapter } from '../../src/peft/layout.ts'
import { isLowrankError } from '../../src/support/errors.ts'

interface Case {
  model: string
  config: Partial<LayoutOptions>
  error?: string
  keys?: Record<string, number[]>
  trained?: string[]
  count?: number
  sites?: Record<string, [r: number, alpha: number, scale: number]>
  saved?: { target_modules: string | string[]; fan_in_fan_out: boolean; modules_to_save: string[] | null }
}

const file = new URL('../goldens/peft/keys.json', import.meta.url)
const goldens: { models: Record<string, ModuleInfo[]>; cases: Case[] } = JSON.parse(readFileSync(file, 'utf8'))

const sorted = (names: string | readonly string[]) => (typeof names === 'string' ? names : [...names].sort())

function layout({ model, config }: Case) {
  const modules = goldens.models[model] ?? []
  // `loaded`, because PEFT takes any rank and we refuse some in new adapters.
  return layoutAdapter(modules, { r: 8, lora_alpha: 8, ...config }, { modelType: model.split('-')[0], loaded: true })
}

/** Where lowrank is stricter: PEFT nests one wrapper in another there, or saves what it does not use. */
const REFUSED: [config: Partial<LayoutOptions>, message: RegExp, model?: string][] = [
  [{ modules_to_save: ['mlp', 'up_proj'] }, /takes both model\.layers\.0\.mlp and model\.layers\.0\.mlp\.up_proj/],
  [{ modules_to_save: ['embed_tokens'], trainable_token_indices: [1] }, /embed_tokens is in modules_to_save already/],
  [{ trainable_token_indices: [] }, /is empty/],
  [
    { target_modules: ['q_proj', 'lm_head'], trainable_token_indices: [5] },
    /cannot be a LoRA target too/,
    'llama-tied',
  ],
  [{ modules_to_save: ['lm_head'], trainable_token_indices: [5] }, /cannot be in modules_to_save too/, 'llama-tied'],
  // There PEFT gives head and embedding different updates of what it says is tied.
  ...[{ rank_pattern: { lm_head: 3 } }, { alpha_pattern: { lm_head: 3 } }].map(
    (pattern): [Partial<LayoutOptions>, RegExp, string] => [
      { ensure_weight_tying: true, target_modules: ['embed_tokens', 'q_proj'], ...pattern },
      /rank or alpha of lm_head differs from that of model\.embed_tokens/,
      'llama-tied',
    ],
  ),
  [
    { ensure_weight_tying: true, target_modules: ['embed_tokens', 'q_proj'], use_dora: true },
    /DoRA rescales model\.embed_tokens and lm_head each by its own/,
    'llama-tied',
  ],
]

const same = (a: object, b: object): boolean =>
  JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort())
const title = (c: Case) => `${c.model} ${JSON.stringify(c.config)}`
const isRefused = (c: Case) =>
  REFUSED.some(
    ([config, , model = 'llama']) => model === c.model && same({ target_modules: ['q_proj'], ...config }, c.config),
  )

describe('adapter layout', () => {
  const good = goldens.cases.filter((c) => c.keys && !isRefused(c))
  const bad = goldens.cases.filter((c) => c.error)

  it('has enough cases', () => {
    expect(good.length).toBeGreaterThan(80)
    expect(bad.length).toBeGreaterThan(20)
  })

  it.each(good.map((c) => [title(c), c] as const))('%s', (_, golden) => {
    const { tensors, sites, savedConfig } = layout(golden)
    expect(Object.fromEntries(tensors.map((t) => [fileKey(t.id), t.shape]))).toEqual(golden.keys)
    expect(tensors.length).toBe(Object.keys(golden.keys ?? {}).length)
    expect(sorted(tensors.filter((t) => t.trained).map((t) => fileKey(t.id)))).toEqual(golden.trained)
    const unique = tensors.filter((t) => t.trained && !t.sameAs)
    // PEFT counts the factors of a tied head once more: they are parameters of their own over the same numbers.
    const counted = tensors.filter((t) => unique.includes(t) || t.transposed)
    expect(counted.reduce((n, t) => n + t.shape.reduce((x, y) => x * y, 1), 0)).toBe(golden.count)
    expect(Object.fromEntries(sites.map((s) => [s.path, [s.r, s.alpha, s.scale]]))).toEqual(golden.sites)
    expect(sorted(savedConfig.target_modules)).toEqual(golden.saved?.target_modules)
    expect(savedConfig.fan_in_fan_out).toBe(golden.saved?.fan_in_fan_out)
    expect(savedConfig.modules_to_save ?? golden.config.modules_to_save ?? null).toEqual(golden.saved?.modules_to_save)
  })

  it.each(bad.map((c) => [`${title(c)}: ${c.error}`, c] as const))('refuses %s', (_, golden) => {
    let error: unknown
    try {
      parsePeftLoraConfig({ task_type: 'CAUSAL_LM', ...golden.config }, 'a.json', { partial: true })
      layout(golden)
    } catch (caught) {
      error = caught
    }
    expect(isLowrankError(error) && error.field).toBeTruthy()
  })

  it.each(REFUSED)('is stricter than PEFT on %j', (config, message, model = 'llama') => {
    expect(() => layout({ model, config: { target_modules: ['q_proj'], ...config } })).toThrow(message)
  })
})
