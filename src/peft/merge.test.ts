import { describe, expect, it } from 'vitest'
import { f32, tensor } from '../tensor/host-tensor.ts'
import { mergeSite, replaceRows } from './merge.ts'

const a = f32([1, 2], [1, 2])
const b = f32([2, 1], [3, 4])
const site = { path: 'model.layers.3.q_proj', kind: 'linear' as const, weight: f32([2, 2], [1, 1, 1, 1]) }

describe('mergeSite', () => {
  it('adds s·B·A', () => {
    const merged = mergeSite(site, [{ adapter: 'one', a, b, scale: 0.5 }])
    expect([...merged.weight.data]).toEqual([2.5, 4, 3, 5])
    expect(merged.bias).toBeUndefined()
  })

  it('names the tensor and the adapter when a value is not finite', () => {
    const broken = { adapter: 'two', a: f32([1, 2], [Number.NaN, 0]), b, scale: 1 }
    expect(() => mergeSite(site, [broken])).toThrow(/adapter two makes model\.layers\.3\.q_proj\.weight/)
    const huge = { adapter: 'two', a: f32([1, 2], [60000, 0]), b, scale: 1 }
    const half = { ...site, weight: tensor('f16', [2, 2], new Uint16Array(4)) }
    expect(() => mergeSite(half, [huge])).toThrow(/\(f16\) not finite/)
    expect(mergeSite(site, [huge]).weight.data[0]).toBe(180001)
    const bad = { ...site, weight: f32([2, 2], [Number.POSITIVE_INFINITY, 0, 0, 0]) }
    expect(() => mergeSite(bad, [{ adapter: 'one', a, b, scale: 1 }])).toThrow(/weight of the base is not finite/)
  })

  it('refuses a bias on B where the layer has none', () => {
    const update = { adapter: 'one', a, b, scale: 1, bBias: f32([2], [1, 1]) }
    expect(() => mergeSite(site, [update])).toThrow(
      /lora_bias: adapter one .* at model\.layers\.3\.q_proj, which has none/,
    )
  })

  it('refuses an adapter of another size', () => {
    const update = { adapter: 'one', a: f32([1, 3], [1, 2, 3]), b, scale: 1 }
    expect(() => mergeSite(site, [update])).toThrow(/is \[2,2\], but adapter one fits \[2,3\]/)
  })
})

describe('replaceRows', () => {
  it('puts rows in place and keeps the rest', () => {
    const weight = f32([3, 2], [1, 2, 3, 4, 5, 6])
    expect([...replaceRows(weight, [2, 0], f32([2, 2], [9, 8, 7, 6]), 'e').data]).toEqual([7, 6, 3, 4, 9, 8])
    expect(() => replaceRows(weight, [3], f32([1, 2], [9, 8]), 'e')).toThrow(/no row 3/)
  })
})
