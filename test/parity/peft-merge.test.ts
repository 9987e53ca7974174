/** @file Updates, DoRA magnitudes and merged weights against PEFT's on tiny layers (scripts/goldens/peft_merge.py). */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { SiteKind } from '../../src/models/modules.ts'
import { asF32, deltaWeight, outputNorms, rowFactors, storeLike } from '../../src/peft/low-rank-update.ts'
import { type LowRankChange, mergeSite, type SiteWeights, unmergeSite } from '../../src/peft/merge.ts'
import { f32, type HostTensor } from '../../src/tensor/host-tensor.ts'

interface Numbers {
  shape: number[]
  values: number[]
}
interface Case {
  kind: SiteKind
  dtype: 'f32' | 'f16' | 'bf16'
  weight: Numbers
  bias?: Numbers
  adapters: (Record<'a' | 'b' | 'delta', Numbers> & {
    scale: number
    initialMagnitude?: Numbers
    magnitude?: Numbers
    bBias?: Numbers
  })[]
  mergedWeight: Numbers
  mergedBias?: Numbers
}

const file = new URL('../goldens/peft/merge.json', import.meta.url)
const { cases }: { cases: Case[] } = JSON.parse(readFileSync(file, 'utf8'))

const host = (n: Numbers) => f32(n.shape, n.values)
const stored = ({ shape, values }: Numbers, dtype: Case['dtype']) =>
  storeLike({ dtype, shape }, Float32Array.from(values))

/** One rounding step of the dtype, relative. PEFT rounds an embedding's update before it is added; we round the sum. */
const EPSILON = { f32: 2e-6, f16: 2 ** -10, bf16: 2 ** -7 }

function expectClose(ours: HostTensor | undefined, theirs: Numbers | undefined, relative: number): void {
  const values = ours ? asF32(ours, 'ours') : new Float32Array()
  expect(ours?.shape).toEqual(theirs?.shape)
  for (const [i, wanted] of (theirs?.values ?? []).entries())
    expect(Math.abs((values[i] ?? Number.NaN) - wanted)).toBeLessThanOrEqual(relative * Math.max(0.5, Math.abs(wanted)))
}

function layerOf(golden: Case): { site: SiteWeights; updates: (LowRankChange & { readonly adapter: string })[] } {
  const { kind, dtype, weight, bias, adapters } = golden
  return {
    site: {
      path: 'lin',
      kind,
      weight: stored(weight, dtype),
      ...(bias ? { bias: stored(bias, dtype) } : {}),
    },
    updates: adapters.map(({ a, b, scale, magnitude, bBias }, i) => ({
      adapter: `a${i}`,
      a: host(a),
      b: host(b),
      scale,
      ...(magnitude ? { magnitude: host(magnitude) } : {}),
      ...(bBias ? { bBias: host(bBias) } : {}),
    })),
  }
}

const name = (c: Case) =>
  `${c.kind} ${c.dtype} ${c.adapters.map((a) => (a.magnitude ? 'dora' : a.bBias ? 'lora+bias' : 'lora')).join(' and ')}`

describe.each(cases.map((c, i) => [`${i} ${name(c)}`, c] as const))('merge %s', (_, golden) => {
  const { site, updates } = layerOf(golden)

  it('has the same update and magnitude', () => {
    for (const [i, { a, b, scale }] of updates.entries()) {
      const wanted = golden.adapters[i]
      const transposed = golden.kind !== 'linear'
      expectClose(deltaWeight(transposed, a, b, scale, 'lin'), wanted?.delta, EPSILON.f32)
      if (!wanted?.initialMagnitude) continue
      const norms = outputNorms(transposed, asF32(site.weight, 'lin'), rowFactors(transposed, a, b, 'lin'), scale)
      expectClose(f32([norms.length], norms), wanted.initialMagnitude, EPSILON[golden.dtype])
    }
  })

  it('merges to the same weight in the same dtype', () => {
    const before = asF32(site.weight, 'lin').slice()
    const merged = mergeSite(site, updates)
    expect(merged.weight.dtype).toBe(golden.dtype)
    expectClose(merged.weight, golden.mergedWeight, EPSILON[golden.dtype])
    expectClose(merged.bias, golden.mergedBias, EPSILON[golden.dtype])
    expect(asF32(site.weight, 'lin')).toEqual(before)
  })

  it('unmerges to the base', () => {
    const back = unmergeSite(site, updates, mergeSite(site, updates))
    const tolerance = 4 * EPSILON[golden.dtype]
    expectClose(back.weight, golden.weight, tolerance * 5)
    expectClose(back.bias, golden.bias, tolerance * 5)
  })
})
