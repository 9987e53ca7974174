import { describe, expect, it } from 'vitest'
import { NO_LABEL } from './example.ts'
import { masked } from './masking.ts'

const LENGTH = 4000
const masking = { seed: 7, maskId: 4, vocabSize: 1000 }
/** Two special tokens around tokens that may be masked. */
const example = (place: number, length = LENGTH) => {
  const ids = Int32Array.from({ length: length + 2 }, (_, t) => (t === 0 ? 2 : t > length ? 3 : 10 + (t % 900)))
  return { ids, labels: ids.map((id) => (id < 5 ? NO_LABEL : id)), place, source: 'rows:1' }
}

describe('masking', () => {
  it('asks for 15 % of the tokens: 80 % masked, 10 % replaced, 10 % left', () => {
    const before = example(3)
    const { ids, labels } = masked(before, masking, 0)
    const asked = [...labels.keys()].filter((t) => labels[t] !== NO_LABEL)
    expect(asked.length).toBe(LENGTH * 0.15)
    for (const t of asked) expect(labels[t]).toBe(before.ids[t])
    const share = (keep: (t: number) => boolean): number => asked.filter(keep).length / asked.length
    expect(Math.abs(share((t) => ids[t] === 4) - 0.8)).toBeLessThan(0.05)
    expect(Math.abs(share((t) => ids[t] === before.ids[t]) - 0.1)).toBeLessThan(0.05)
    // What is not asked for stands as it was, special tokens among it.
    for (const [t, id] of ids.entries()) if (labels[t] === NO_LABEL) expect(id).toBe(before.ids[t])
  })

  it('follows from seed, epoch and place alone', () => {
    const asked = (place: number, epoch: number, seed = 7): string =>
      masked(example(place, 60), { ...masking, seed }, epoch).labels.join()
    expect(asked(1, 0)).toBe(asked(1, 0))
    expect(new Set([asked(1, 0), asked(1, 1), asked(2, 0), asked(1, 0, 8)]).size).toBe(4)
  })

  it('asks for one token of a short text', () => {
    expect([...masked(example(0, 1), masking, 0).labels]).toEqual([NO_LABEL, 11, NO_LABEL])
  })
})
