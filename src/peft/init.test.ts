import { describe, expect, it } from 'vitest'
import type { ModuleInfo } from '../models/modules.ts'
import { f32, type HostTensor, tensor } from '../tensor/host-tensor.ts'
import { initAdapter } from './init.ts'
import { type AdapterSite, type LayoutOptions, layoutAdapter } from './layout.ts'
import { storeLike } from './low-rank-update.ts'
import { initSite } from './methods/lora-start.ts'

const parameters = (out: number, width: number) => [
  { name: 'weight', shape: [out, width] },
  { name: 'bias', shape: [out] },
]
const modules: ModuleInfo[] = [
  {
    path: 'm.embed',
    kind: 'embedding',
    inFeatures: 300,
    outFeatures: 40,
    isInputEmbedding: true,
    parameters: [{ name: 'weight', shape: [300, 40] }],
  },
  { path: 'm.0.q', kind: 'linear', inFeatures: 400, outFeatures: 300, parameters: parameters(300, 400) },
  { path: 'm.0.c', kind: 'conv1d', inFeatures: 30, outFeatures: 20, parameters: [{ name: 'weight', shape: [30, 20] }] },
  { path: 'm.0.norm', kind: 'norm', parameters: [{ name: 'weight', shape: [40] }] },
]
const layout = (options: Partial<LayoutOptions>) => layoutAdapter(modules, { r: 16, lora_alpha: 8, ...options })
const siteOf = (options: Partial<LayoutOptions>): AdapterSite => {
  const [site] = layout(options).sites
  if (!site) throw new Error('no site')
  return site
}

/** Kolmogorov–Smirnov distance of a sample from a distribution function. */
function distance(values: ArrayLike<number>, cdf: (x: number) => number): number {
  const sorted = Float64Array.from(values).sort()
  let worst = 0
  for (const [i, x] of sorted.entries())
    worst = Math.max(worst, Math.abs(cdf(x) - i / sorted.length), Math.abs(cdf(x) - (i + 1) / sorted.length))
  return worst
}
/** Abramowitz and Stegun 7.1.26, good to 1.5e-7. */
function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2
  const t = 1 / (1 + 0.3275911 * z)
  const tail =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-z * z)
  return x < 0 ? tail / 2 : 1 - tail / 2
}
const uniform = (bound: number) => (x: number) => Math.min(1, Math.max(0, (x + bound) / (2 * bound)))
const normal = (std: number) => (x: number) => normalCdf(x / std)
/** Distance that 1 in a million samples of this size exceeds. */
const limit = (n: number) => 2.7 / Math.sqrt(n)
const expectFrom = (values: ArrayLike<number>, cdf: (x: number) => number) =>
  expect(distance(values, cdf)).toBeLessThan(limit(values.length))
const expectZero = (values: ArrayLike<number>) => expect(Array.from(values).every((x) => x === 0)).toBe(true)

describe('first values of A and B', () => {
  it('true: A ~ U(±1/√in), B = 0', () => {
    const { a, b } = initSite(siteOf({ target_modules: ['q'] }), { seed: 1, init: true })
    expect([a.shape, b.shape]).toEqual([
      [16, 400],
      [300, 16],
    ])
    expectFrom(a.data, uniform(1 / 20))
    expectZero(b.data)
  })

  it('gaussian: A ~ N(0, 1/r²), B = 0', () => {
    const { a, b } = initSite(siteOf({ target_modules: ['q'] }), { seed: 2, init: 'gaussian' })
    expectFrom(a.data, normal(1 / 16))
    expectZero(b.data)
  })

  it('false: B ~ U(±1/√r) too, and its bias', () => {
    const site = siteOf({ target_modules: ['q'], lora_bias: true, init_lora_weights: false })
    const { a, b, bBias } = initSite(site, { seed: 3, init: false })
    expectFrom(a.data, uniform(1 / 20))
    expectFrom(b.data, uniform(1 / 4))
    expectFrom(bBias?.data ?? [], uniform(1 / 4))
    expectZero(initSite(site, { seed: 3, init: true }).bBias?.data ?? [1])
  })

  it('embedding: A = 0, B ~ N(0, 1); with false both are drawn', () => {
    const site = siteOf({ target_modules: ['embed'] })
    for (const init of [true, 'gaussian'] as const) {
      const { a, b } = initSite(site, { seed: 4, init })
      expect([a.shape, b.shape]).toEqual([
        [16, 300],
        [40, 16],
      ])
      expectZero(a.data)
      expectFrom(b.data, normal(1))
    }
    expectFrom(initSite(site, { seed: 4, init: false }).a.data, normal(1))
  })

  it('depend on seed, module and tensor alone', async () => {
    const base = (): HostTensor => f32([300, 400], new Float32Array(120000))
    const alone = await initAdapter(layout({ target_modules: ['q'] }), { seed: 5, init: false }, base)
    const both = await initAdapter(layout({ target_modules: ['c', 'q'] }), { seed: 5, init: false }, base)
    expect(both.get('m.0.q.lora_A.weight')).toEqual(alone.get('m.0.q.lora_A.weight'))
    expect(both.get('m.0.c.lora_A.weight')?.data.slice(0, 30)).not.toEqual(
      both.get('m.0.q.lora_A.weight')?.data.slice(0, 30),
    )
    const other = await initAdapter(layout({ target_modules: ['q'] }), { seed: 6, init: false }, base)
    expect(other.get('m.0.q.lora_A.weight')).not.toEqual(alone.get('m.0.q.lora_A.weight'))
  })
})

describe('what starts from the base', () => {
  const values = (shape: number[]) =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.fround(Math.sin(i)))
  const read: string[] = []
  const base = (source: string): HostTensor => {
    read.push(source)
    const module = modules.find((m) => source.startsWith(`${m.path}.`))
    const shape = module?.parameters.find((p) => source === `${module.path}.${p.name}`)?.shape ?? []
    return tensor('f32', shape, values([...shape]))
  }

  it('magnitudes, biases, whole modules and token rows; nothing else of the base is read', async () => {
    const adapter = layout({
      target_modules: ['q', 'c'],
      use_dora: true,
      bias: 'lora_only',
      modules_to_save: ['norm'],
      trainable_token_indices: [7, 2],
    })
    const first = await initAdapter(adapter, { seed: 1, init: true }, base)
    expect([...first.keys()].sort()).toEqual(
      adapter.tensors
        .filter((t) => t.trained)
        .map((t) => t.id)
        .sort(),
    )
    expect(read.sort()).toEqual(['m.0.c.weight', 'm.0.norm.weight', 'm.0.q.bias', 'm.0.q.weight', 'm.embed.weight'])
    const q = values([300, 400])
    const norm = Math.hypot(...q.slice(400, 800))
    expect(first.get('m.0.q.lora_magnitude_vector')?.data[1]).toBeCloseTo(norm, 4)
    const c = values([30, 20])
    expect(first.get('m.0.c.lora_magnitude_vector')?.shape).toEqual([20])
    expect(first.get('m.0.c.lora_magnitude_vector')?.data[3]).toBeCloseTo(
      Math.hypot(...c.filter((_, i) => i % 20 === 3)),
      4,
    )
    const embed = values([300, 40])
    expect(first.get('m.embed.token_adapter.trainable_tokens_delta')?.data).toEqual(
      Float32Array.from([...embed.slice(280, 320), ...embed.slice(80, 120)]),
    )
    expect(first.get('m.0.norm.weight')?.data).toEqual(values([40]))
    expect(first.get('m.0.q.base_layer.bias')?.data).toEqual(values([300]))
  })

  it('widens a half-precision base', async () => {
    const adapter = layout({ target_modules: ['q'], modules_to_save: ['norm'] })
    const half = storeLike({ dtype: 'bf16', shape: [40] }, new Float32Array(40).fill(1.5))
    const first = await initAdapter(adapter, { seed: 1, init: true }, () => half)
    expect(first.get('m.0.norm.weight')).toEqual(f32([40], new Float32Array(40).fill(1.5)))
  })
})
