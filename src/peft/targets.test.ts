import { describe, expect, it } from 'vitest'
import type { ModuleInfo } from '../models/modules.ts'
import { isLowrankError, type LowrankError } from '../support/errors.ts'
import { layoutAdapter } from './layout.ts'
import type { TargetOptions } from './target-match.ts'
import { describeMisses } from './target-report.ts'
import { resolveTargets } from './targets.ts'

const linear = (path: string): ModuleInfo => ({
  path,
  kind: 'linear',
  inFeatures: 8,
  outFeatures: 12,
  parameters: [{ name: 'weight', shape: [12, 8] }],
})
const layer = (i: number): ModuleInfo[] => [
  ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => linear(`model.layers.${i}.self_attn.${name}`)),
  ...['gate_proj', 'up_proj', 'down_proj'].map((name) => linear(`model.layers.${i}.mlp.${name}`)),
  { path: `model.layers.${i}.input_layernorm`, kind: 'norm', parameters: [{ name: 'weight', shape: [8] }] },
]
const modules: ModuleInfo[] = [
  {
    path: 'model.embed_tokens',
    kind: 'embedding',
    inFeatures: 20,
    outFeatures: 8,
    isInputEmbedding: true,
    parameters: [{ name: 'weight', shape: [20, 8] }],
  },
  ...[0, 1, 2, 3].flatMap(layer),
  { ...linear('lm_head'), isOutputHead: true },
]

function refusal(options: TargetOptions): LowrankError {
  try {
    resolveTargets(modules, options)
  } catch (error) {
    if (isLowrankError(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}
const notes = (options: TargetOptions) => describeMisses(resolveTargets(modules, options))

describe('a choice that targets nothing', () => {
  it('names the nearest modules', () => {
    const error = refusal({ target_modules: ['q_porj', 'v-proj'] })
    expect(error).toMatchObject({ code: 'missing', field: 'target_modules' })
    expect(error.message).toMatch(/q_porj, v-proj matches no module of this model, which has embed_tokens, q_proj/)
    expect(error.suggestion).toMatch(/^q_proj, .*v_proj/)
  })

  it('looks at as many segments as were given', () => {
    expect(refusal({ target_modules: ['self_atn.q_proj'] }).suggestion).toMatch(/^self_attn\.q_proj/)
  })

  it('says when layers or excludes are the reason', () => {
    expect(refusal({ target_modules: ['q_proj'], layers_to_transform: [9] })).toMatchObject({
      field: 'layers_to_transform',
      message: expect.stringMatching(
        /names model\.layers\.0\.self_attn\.q_proj, .* but layers_to_transform \[9\] leaves none/,
      ),
    })
    expect(refusal({ target_modules: ['q_proj'], exclude_modules: ['q_proj'] })).toMatchObject({
      field: 'exclude_modules',
    })
    expect(refusal({ target_modules: ['q_proj'], modules_to_save: ['self_attn'] })).toMatchObject({
      field: 'exclude_modules',
    })
  })

  it('refuses modules that take no LoRA, all of them', () => {
    expect(refusal({ target_modules: ['input_layernorm', 'mlp', 'q_proj'] }).message).toMatch(
      /not on model\.layers\.0\.mlp \(a container\), model\.layers\.0\.input_layernorm \(norm\), .* and 4 more/,
    )
  })

  it('refuses an expression it cannot translate', () => {
    expect(refusal({ target_modules: '(?>q)_proj' })).toMatchObject({ code: 'config', field: 'target_modules' })
    expect(refusal({ target_modules: ['q_proj'], layers_to_transform: [1], layers_pattern: 'la[yers' })).toMatchObject({
      field: 'layers_pattern',
    })
  })
})

describe('partial misses', () => {
  it('are told with the nearest names', () => {
    expect(
      notes({
        target_modules: ['q_proj', 'o_porj'],
        exclude_modules: ['gate'],
        layers_to_transform: [1, 7],
        rank_pattern: { q_prjo: 4, q_proj: 2 },
        alpha_pattern: { 'layers\\.9\\..*': 1 },
      }),
    ).toEqual([
      'target_modules: o_porj matches no module (nearest: o_proj, k_proj, q_proj)',
      'exclude_modules: gate excludes nothing',
      'layers_to_transform: no targeted module is in layer 7',
      'rank_pattern: q_prjo matches no targeted module (nearest: q_proj, k_proj, o_proj)',
      'alpha_pattern: layers\\.9\\..* matches no targeted module',
    ])
  })

  it('are none where every entry is used', () => {
    expect(notes({ target_modules: 'all-linear' })).toEqual([])
    expect(
      notes({ target_modules: ['q_proj', 'embed_tokens'], exclude_modules: ['layers.1.self_attn.q_proj'] }),
    ).toEqual([])
  })

  it('an exclude expression that excludes nothing is told', () => {
    expect(notes({ target_modules: ['q_proj'], exclude_modules: '.*nope' })).toEqual([
      'exclude_modules: .*nope excludes nothing',
    ])
  })
})

describe('all-linear', () => {
  it('is condensed to suffixes once the list is long, as PEFT saves it', () => {
    const { savedTargets, sites } = resolveTargets(modules, { target_modules: 'all-linear' })
    expect(sites.length).toBe(28)
    expect([...savedTargets].sort()).toEqual([
      'down_proj',
      'gate_proj',
      'k_proj',
      'o_proj',
      'q_proj',
      'up_proj',
      'v_proj',
    ])
  })

  it('with layers means the linear layers of those layers, saved so that PEFT finds the same', () => {
    const options = { target_modules: 'all-linear', layers_to_transform: [1, 3], r: 4, lora_alpha: 8 }
    const { sites, savedConfig, notes: said } = layoutAdapter(modules, options)
    expect(sites.length).toBe(14)
    expect(savedConfig).toMatchObject({ layers_to_transform: null, layers_pattern: null })
    const again = resolveTargets(modules, savedConfig)
    expect(again.sites).toEqual(resolveTargets(modules, { target_modules: sites.map((s) => s.path) }).sites)
    expect(said).toEqual([])
  })
})

describe('rank', () => {
  const layout = (r: number, loaded = false) =>
    layoutAdapter(modules, { target_modules: ['layers.0.self_attn.q_proj'], r, lora_alpha: 8 }, { loaded })

  it('above the smaller side is told, above the larger refused, unless the adapter exists', () => {
    expect(layout(8).notes).toEqual([])
    expect(layout(9).notes).toEqual([
      'r: rank 9 is above the smaller side of the matrix: model.layers.0.self_attn.q_proj is 12 by 8',
    ])
    expect(() => layout(13)).toThrow(/r: rank 13 is above the larger side of the matrix: .* is 12 by 8/)
    expect(layout(13, true).sites[0]?.r).toBe(13)
    expect(() => layout(0)).toThrow(/rank at model\.layers\.0\.self_attn\.q_proj is 0/)
  })
})
