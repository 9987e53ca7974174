import { describe, expect, it } from 'vitest'
import type { ModuleInfo } from '../models/modules.ts'
import { describeMisses } from './target-report.ts'
import { resolveTargets } from './targets.ts'

const linear = (path: string): ModuleInfo => ({
  path,
  kind: 'linear',
  inFeatures: 4,
  outFeatures: 3,
  parameters: [
    { name: 'weight', shape: [3, 4] },
    { name: 'bias', shape: [3] },
  ],
})
const norm: ModuleInfo = { path: 'm.norm', kind: 'norm', parameters: [{ name: 'weight', shape: [4] }] }
const modules = [linear('m.0.q_proj'), linear('m.1.q_proj'), linear('m.1.k_proj'), norm]
const resolve = (names: string[], targets: string[] = []) =>
  resolveTargets(modules, { target_modules: targets, target_parameters: names })

describe('target_parameters', () => {
  it('takes full names and their ends from a dot on', () => {
    expect(resolve(['q_proj.weight']).parameterSites.map(({ path }) => path)).toEqual(['m.0.q_proj', 'm.1.q_proj'])
    expect(resolve(['m.1.k_proj.weight']).parameterSites.length).toBe(1)
    expect(() => resolve(['proj.weight'])).toThrow(/target_parameters: proj\.weight matches no parameter/)
  })

  it('says which name no parameter has', () => {
    expect(describeMisses(resolve(['q_proj.weight', 'k_prj.weight']))).toEqual([
      'target_parameters: k_prj.weight matches no parameter (nearest: k_proj.weight, q_proj.weight, norm.weight)',
    ])
  })

  it.each([
    [['q_proj.bias'], [], /m\.0\.q_proj\.bias is \[3\], and an update needs a matrix/],
    [['norm.weight'], [], /m\.norm\.weight is \[4\]/],
    [['q_proj.weight'], ['q_proj'], /m\.0\.q_proj is one of target_modules already/],
    [['kproj.weight'], [], /matches no parameter/],
  ])('refuses %j beside targets %j', (names, targets, message) => {
    expect(() => resolve(names, targets)).toThrow(message)
  })

  it('pattern keys speak of parameters by their full name', () => {
    const options = { target_modules: [], target_parameters: ['q_proj.weight'], rank_pattern: { q_proj: 2 } }
    expect(describeMisses(resolveTargets(modules, options))[0]).toMatch(
      /rank_pattern: q_proj matches no targeted module/,
    )
    const fits = { ...options, rank_pattern: { '0.q_proj.weight': 2 } }
    expect(describeMisses(resolveTargets(modules, fits))).toEqual([])
  })
})
