import { describe, expect, it } from 'vitest'
import { SpillStore } from './spill-store.ts'

describe('SpillStore', () => {
  it('gives back what it took, from memory and from the file', async () => {
    const store = new SpillStore(() => 40)
    const values = Array.from({ length: 5 }, (_, i) => Float32Array.from({ length: 3 + i }, (_, k) => i + k / 8))
    for (const [i, array] of values.entries()) await store.set(`row ${i}`, array)
    expect(store.memoryBytes).toBe(28)
    expect(store.diskBytes).toBe(4 * (5 + 6 + 7))
    for (const [i, array] of values.entries()) expect(await store.get(`row ${i}`)).toEqual(array)
    await store.set('row 4', Float32Array.of(1))
    expect(await store.get('row 4')).toEqual(values[4])
    expect(store.has('row 5')).toBe(false)
    await store.close()
    expect(store.has('row 0')).toBe(false)
  })
})
