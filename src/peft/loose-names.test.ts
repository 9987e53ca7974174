import { expect, it } from 'vitest'
import { layoutAdapter } from './layout.ts'
import type { LayoutOptions } from './method.ts'

const linear = (path: string) => ({
  path,
  kind: 'linear' as const,
  inFeatures: 4,
  outFeatures: 4,
  parameters: [{ name: 'weight', shape: [4, 4] }],
})
const norm = (path: string) => ({ path, kind: 'norm' as const, parameters: [{ name: 'weight', shape: [4] }] })
const modules = [0, 1].flatMap((i) => [linear(`model.layers.${i}.q_proj`), norm(`model.layers.${i}.input_layernorm`)])
const lay = (options: Partial<LayoutOptions>, loaded = false) =>
  layoutAdapter(
    [...modules, norm('model.norm')],
    { r: 1, lora_alpha: 1, target_modules: ['q_proj'], ...options },
    { loaded },
  )

it('says that a name in modules_to_save also takes modules that end like it', () => {
  const { notes, tensors } = lay({ modules_to_save: ['norm'] })
  expect(notes).toEqual([
    'modules_to_save: norm also takes input_layernorm, because it ends like them; a full name takes that one alone',
  ])
  expect(tensors.filter(({ role }) => role === 'saved').length).toBe(3)
  expect(lay({ modules_to_save: ['model.norm'] }).notes).toEqual([])
})

it('says that a target named in full is not asked for its layer', () => {
  const name = 'model.layers.0.q_proj'
  const { notes, sites } = lay({ target_modules: [name, 'q_proj'], layers_to_transform: [1] })
  expect(sites.length).toBe(2)
  expect(notes).toEqual([`layers_to_transform: does not keep out ${name}, which target_modules names in full`])
})

it('is silent of an adapter that exists', () => {
  expect(lay({ modules_to_save: ['norm'] }, true).notes).toEqual([])
})

it('takes no module for an adapter because of its name', () => {
  const own = linear('model.lora_foo')
  const { tensors } = layoutAdapter([...modules, own], { r: 1, lora_alpha: 1, target_modules: ['q_proj'], bias: 'all' })
  expect(tensors.filter(({ module }) => module === own.path)).toEqual([])
})
