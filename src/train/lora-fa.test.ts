import { describe, expect, it } from 'vitest'
import type { SiteModule } from '../models/modules.ts'
import { layoutAdapter } from '../peft/layout.ts'
import type { LayoutOptions } from '../peft/method.ts'
import { f32, zeros } from '../tensor/host-tensor.ts'
import { loraFa, projection } from './lora-fa.ts'

const linear: SiteModule = {
  path: 'm.q_proj',
  kind: 'linear',
  inFeatures: 3,
  outFeatures: 4,
  parameters: [{ name: 'weight', shape: [4, 3] }],
}
const embedding: SiteModule = {
  path: 'm.embed_tokens',
  kind: 'embedding',
  inFeatures: 5,
  outFeatures: 3,
  parameters: [{ name: 'weight', shape: [5, 3] }],
}

function prepare(options: Partial<LayoutOptions>, module = linear) {
  const target = module.path.split('.').at(-1) ?? ''
  const layout = layoutAdapter([module], { r: 2, lora_alpha: 4, target_modules: [target], ...options })
  const values = new Map(layout.tensors.map(({ id, shape }) => [id, zeros('f32', shape)]))
  return loraFa(layout.sites, values)
}

describe('LoRA-FA', () => {
  it('divides by the scale squared and by the products of the rows of A', () => {
    const found = projection(f32([2, 3], [1, 0, 0, 0, 2, 0]), 0.5)
    expect(Array.from(found.data)).toEqual([expect.closeTo(4, 5), 0, 0, expect.closeTo(1, 5)])
  })

  it('gives rows of A that say the same one inverse for both, as pinv does', () => {
    const found = projection(f32([2, 2], [3, 0, 3, 0]), 1)
    for (const value of found.data) expect(value).toBeCloseTo(1 / 36, 6)
  })

  it('holds A and nothing else', () => {
    const { held, projections } = prepare({})
    expect([...held.keys()]).toEqual(['m.q_proj.lora_A.weight'])
    expect([...projections].map(([id, { shape }]) => [id, shape])).toEqual([['m.q_proj.lora_B.weight', [2, 2]]])
  })

  it.each([
    [{ use_dora: true }, linear, /magnitude at m\.q_proj/],
    [{ lora_bias: true }, linear, /bias on B at m\.q_proj/],
    [{}, embedding, /A of an embedding, which m\.embed_tokens is, starts at zero/],
  ])('refuses what its optimizer would not train: %j', (options, module, message) => {
    expect(() => prepare(options, module)).toThrow(message)
  })
})
