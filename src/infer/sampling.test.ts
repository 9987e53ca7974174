/** @file Sampling against transformers' processors (scripts/goldens/sampling.py), and the statistics of draws. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { distribution, GREEDY, Sampler, type SamplingSettings } from './sampling.ts'

interface Case {
  settings: { temperature?: number; top_k?: number; top_p?: number; min_p?: number; repetition_penalty?: number }
  logits: number[]
  seen: number[]
  probabilities: number[]
}
const file = new URL('../../test/goldens/infer/sampling.json', import.meta.url)
const { cases }: { cases: Case[] } = JSON.parse(readFileSync(file, 'utf8'))

function settingsOf({ settings: s }: Case): SamplingSettings {
  return {
    temperature: s.temperature ?? 1,
    topK: s.top_k ?? 0,
    topP: s.top_p ?? 1,
    minP: s.min_p ?? 0,
    repetitionPenalty: s.repetition_penalty ?? 1,
    seed: 1,
  }
}

describe('sampling', () => {
  it.each(cases.map((c) => [JSON.stringify(c.settings), c.logits.length, c] as const))(
    'leaves what transformers leaves: %s of %i',
    (_, __, golden) => {
      const { ids, probabilities } = distribution(Float32Array.from(golden.logits), golden.seen, settingsOf(golden))
      const found = new Array<number>(golden.logits.length).fill(0)
      for (const [i, id] of ids.entries()) found[id] = probabilities[i] ?? 0
      for (const [id, wanted] of golden.probabilities.entries()) {
        expect(Math.abs((found[id] ?? 0) - wanted), `token ${id}`).toBeLessThan(2e-6)
        expect((found[id] ?? 0) > 0, `token ${id}`).toBe(wanted > 0)
      }
    },
  )

  it('draws as often as the distribution says, and the same again from the same seed', () => {
    const logits = Float32Array.from([1, 0, -1, 2, 0.5])
    const settings = { ...GREEDY, temperature: 0.9, topP: 0.95, seed: 5 }
    const { ids, probabilities } = distribution(logits, [], settings)
    const draws = (): number[] => {
      const sampler = new Sampler(settings, [])
      return Array.from({ length: 20_000 }, () => sampler.next(logits))
    }
    const drawn = draws()
    for (const [i, id] of ids.entries()) {
      const p = probabilities[i] ?? 0
      const share = drawn.filter((d) => d === id).length / drawn.length
      expect(Math.abs(share - p)).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / drawn.length))
    }
    expect(new Set(drawn)).toEqual(new Set(ids))
    expect(draws()).toEqual(drawn)
    expect(new Sampler({ ...settings, seed: 6 }, []).next(logits)).toBeTypeOf('number')
  })

  it('takes the first of the likeliest at temperature 0, and counts what it took as seen', () => {
    const sampler = new Sampler({ ...GREEDY, repetitionPenalty: 2 }, [0])
    expect(sampler.next(Float32Array.from([3, 2, 2, -1]))).toBe(1) // 3 / 2 < 2
    expect(sampler.next(Float32Array.from([3, 2, 2, -1]))).toBe(2)
    expect(sampler.next(Float32Array.from([3, 2, 2, -1]))).toBe(0)
  })

  it('refuses scores that are not numbers', () => {
    const sampler = new Sampler(GREEDY, [])
    expect(() => sampler.next(Float32Array.from([1, Number.NaN, 2]))).toThrow(
      expect.objectContaining({ code: 'numeric' }),
    )
    expect(() => sampler.next(Float32Array.from([1, Number.POSITIVE_INFINITY]))).toThrow(/Infinity/)
    expect(() => sampler.next(new Float32Array(3).fill(Number.NEGATIVE_INFINITY))).toThrow(/-Infinity/)
    expect(sampler.next(Float32Array.from([Number.NEGATIVE_INFINITY, 1]))).toBe(1)
  })
})
