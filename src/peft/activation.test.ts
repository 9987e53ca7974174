import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { SiteModule } from '../models/modules.ts'
import { i64 } from '../tensor/host-tensor.ts'
import { activeTokens, lastInvocation } from './activation.ts'
import { layoutAdapter } from './layout.ts'
import { planMerge } from './merge-model.ts'

const file = new URL('../../test/goldens/lora-fields/offsets.json', import.meta.url)
const offsets: [tokens: number[], ids: number[], offset: number | null][] = JSON.parse(readFileSync(file, 'utf8'))

/** Active tokens of one row in one sample, as text. */
const active = (ids: number[], segments: number[], tokens: number[]): string =>
  activeTokens(i64([1, ids.length], ids), i64([1, ids.length], segments), tokens).data.join('')

describe('activated LoRA', () => {
  it('finds the last invocation where PEFT does', () => {
    expect(offsets.length).toBeGreaterThan(60)
    for (const [tokens, ids, offset] of offsets) {
      const start = lastInvocation(ids, tokens)
      expect(start === undefined ? null : ids.length - start, `${tokens} in ${ids}`).toBe(offset)
    }
  })

  it('looks at each sample of a packed row for itself', () => {
    expect(active([0, 1, 2, 3, 1, 2, 9, 9], [1, 1, 1, 1, 2, 2, 2, 2], [1, 2])).toBe('01111111')
    expect(active([0, 1, 2, 3, 9, 9, 1, 2], [1, 1, 1, 1, 2, 2, 3, 3], [1, 2])).toBe('01110011')
    expect(active([0, 1, 2, 3, 9, 1], [1, 1, 2, 2, 2, 2], [1, 2])).toBe('000000') // split over two samples
  })

  it('leaves padding alone', () => {
    expect(active([1, 2, 3, 0, 0], [1, 1, 1, 0, 0], [1, 2])).toBe('11100')
    expect(active([5, 3, 1, 2, 0], [1, 1, 0, 0, 0], [1, 2])).toBe('00000')
  })

  const module = (path: string, kind: 'linear' | 'embedding'): SiteModule => ({
    path,
    kind,
    inFeatures: 4,
    outFeatures: 4,
    parameters: [{ name: 'weight', shape: [4, 4] }],
    ...(kind === 'embedding' ? { isInputEmbedding: true } : {}),
  })
  const modules = [module('m.embed_tokens', 'embedding'), module('m.q_proj', 'linear')]
  const layout = (target: string, tokens: number[]) =>
    layoutAdapter(modules, { r: 1, lora_alpha: 1, target_modules: [target], alora_invocation_tokens: tokens })

  it('sits on linear layers, with tokens of the model', () => {
    expect(layout('q_proj', [3]).invocation).toEqual([3])
    expect(() => layout('embed_tokens', [3])).toThrow(/linear layers, not on m\.embed_tokens/)
    expect(() => layout('q_proj', [1, 4])).toThrow(/alora_invocation_tokens: 4: the model has tokens 0 to 3/)
  })

  it('cannot be merged', () => {
    const adapter = { name: 'a', layout: layout('q_proj', [1]), values: new Map() }
    expect(() => planMerge(modules, [adapter])).toThrow(/adapter a \(alora_invocation_tokens\) cannot be merged/)
  })
})
