import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Batch } from './batch.ts'
import { Batches, type BatchesOptions, type StepData } from './batches.ts'
import { collate } from './collate.ts'
import { datasetOf } from './dataset.ts'
import { NO_LABEL } from './example.ts'

/** A sample as it can be read back out of a batch. */
interface Sample {
  place: number
  ids: number[]
  labels: number[]
}

function samplesOf(batch: Batch): Sample[] {
  const [rows = 0, seq = 0] = batch.ids.shape
  const labelAt = new Map<number, number>()
  batch.labelRows.data.forEach((row, i) => {
    labelAt.set(Number(row) + 1, Number(batch.labels.data[i]))
  })
  const samples: Sample[] = []
  for (let flat = 0; flat < rows * seq; flat++) {
    if (batch.segments.data[flat] === 0n) continue
    if (batch.positions.data[flat] === 0n) samples.push({ place: batch.places.data[flat] ?? -1, ids: [], labels: [] })
    const sample = samples.at(-1)
    expect(Number(batch.positions.data[flat])).toBe(sample?.ids.length)
    expect(batch.places.data[flat]).toBe(sample?.place)
    sample?.ids.push(Number(batch.ids.data[flat]))
    sample?.labels.push(labelAt.get(flat) ?? NO_LABEL)
  }
  return samples
}
const byPlace = (a: Sample, b: Sample) => a.place - b.place
const samplesOfSteps = (steps: Iterable<StepData>) => [...steps].flatMap((step) => step.batches.flatMap(samplesOf))

const rows = fc.array(
  fc.array(fc.record({ id: fc.integer({ min: 1, max: 99 }), learn: fc.boolean() }), { minLength: 2, maxLength: 12 }),
  { minLength: 1, maxLength: 60 },
)
const options = fc.record({
  batchSize: fc.integer({ min: 1, max: 5 }),
  gradAccumulation: fc.integer({ min: 1, max: 3 }),
  order: fc.constantFrom('shuffle', 'file', 'length'),
  seed: fc.nat(),
  packInto: fc.option(fc.integer({ min: 4, max: 30 }), { nil: undefined }),
  multipleOf: fc.constantFrom(1, 8),
})
function dataset(rows: { id: number; learn: boolean }[][]) {
  return datasetOf(
    rows.map((row) => ({
      ids: row.map((token) => token.id),
      // The last token is always learned: rows without labels never reach a dataset.
      labels: row.map((token, t) => (token.learn || t === row.length - 1 ? token.id : NO_LABEL)),
    })),
  )
}

describe('an epoch', () => {
  it('has every example once, tokens and labels unchanged, however it is ordered and packed', () => {
    fc.assert(
      fc.property(rows, options, fc.nat(3), (rows, options, epoch) => {
        const data = dataset(rows)
        const batches = new Batches(data, options)
        const steps = [...batches.epoch(epoch)]
        expect(steps).toHaveLength(batches.stepsPerEpoch)
        const expected = [...data].map(({ place, ids, labels }) => ({
          place,
          ids: Array.from(ids),
          labels: Array.from(labels, (label, t) => (t === 0 ? NO_LABEL : label)),
        }))
        expect(samplesOfSteps(steps).sort(byPlace)).toEqual(expected)
        for (const step of steps) {
          expect(step.labelled).toBe(step.batches.reduce((sum, batch) => sum + batch.labels.data.length, 0))
          for (const batch of step.batches) checkShape(batch, options, data)
        }
      }),
    )
  })

  function checkShape(batch: Batch, options: BatchesOptions, data: ReturnType<typeof dataset>) {
    const [count = 0, seq = 0] = batch.ids.shape
    expect(count).toBeLessThanOrEqual(options.batchSize)
    expect(seq % (options.multipleOf ?? 1)).toBe(0)
    const longest = Math.max(...Array.from({ length: data.length }, (_, i) => data.lengthOf(i)))
    const room = Math.max(longest, options.packInto ?? 0)
    expect(seq).toBeLessThan(room + (options.multipleOf ?? 1))
    expect(batch.tokens).toBe(batch.segments.data.filter((segment) => segment > 0n).length)
    expect(batch.examples).toBe(samplesOf(batch).length)
  }

  it('is the same from any cursor', () => {
    fc.assert(
      fc.property(rows, options, fc.nat(8), (rows, options, taken) => {
        const data = dataset(rows)
        const whole = new Batches(data, options)
        for (let i = 0; i < taken; i++) whole.next()
        const resumed = new Batches(data, options, structuredClone(whole.cursor))
        for (let i = 0; i < 3; i++) expect(resumed.next()).toEqual(whole.next())
        expect(resumed.cursor).toEqual(whole.cursor)
      }),
    )
  })

  it('has the same examples in a step, accumulated or in one batch', () => {
    fc.assert(
      fc.property(
        rows,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        (rows, size, times, seed) => {
          const data = dataset(rows)
          const small = new Batches(data, { batchSize: size, gradAccumulation: times, seed })
          const large = new Batches(data, { batchSize: size * times, seed })
          const placesOf = (batches: Batches) =>
            [...batches.epoch(1)].map((step) => samplesOfSteps([step]).map((s) => s.place))
          expect(placesOf(small)).toEqual(placesOf(large))
        },
      ),
    )
  })
})

describe('order', () => {
  const data = datasetOf(Array.from({ length: 7 }, (_, i) => ({ ids: [i + 1, i + 2, ...Array(i % 3).fill(9)] })))
  const places = (step: StepData) => step.batches.map((batch) => samplesOf(batch).map((sample) => sample.place))

  it('of the file: consecutive, wraps round, keeps the partial batch', () => {
    const batches = new Batches(data, { batchSize: 2, gradAccumulation: 2, order: 'file' })
    const stream = batches[Symbol.iterator]()
    const four = [0, 1, 2, 3].map(() => places(stream.next().value))
    expect(four).toEqual([[[0, 1], [2, 3]], [[4, 5], [6]], [[0, 1], [2, 3]], [[4, 5], [6]]]) // biome-ignore format: a table
    expect(batches.cursor).toEqual({ epoch: 2, index: 0 })
    expect(batches.stepsPerEpoch).toBe(2)
  })

  it('of a shuffle depends on seed and epoch, and on nothing else', () => {
    const epoch = (seed: number, epoch: number) =>
      JSON.stringify([...new Batches(data, { batchSize: 2, seed }).epoch(epoch)].map(places))
    expect(epoch(1, 0)).toBe(epoch(1, 0))
    const different = new Set([epoch(1, 0), epoch(1, 1), epoch(2, 0), epoch(2, 1)])
    expect(different.size).toBeGreaterThan(2)
  })

  it('of a shuffle puts rows of like length together', () => {
    const mixed = datasetOf(Array.from({ length: 512 }, (_, i) => ({ ids: Array(2 + ((i * 37) % 61)).fill(1) })))
    const padding = (batches: Batches) => {
      const all = [...batches.epoch()].flatMap((step) => step.batches)
      return 1 - all.reduce((n, b) => n + b.tokens, 0) / all.reduce((n, b) => n + b.ids.data.length, 0)
    }
    const bucketed = padding(new Batches(mixed, { batchSize: 8 }))
    const plain = padding(new Batches(mixed, { batchSize: 8, order: 'file' }))
    expect(bucketed).toBeLessThan(0.1)
    expect(plain).toBeGreaterThan(0.3)
  })
})

describe('packing', () => {
  it('fills rows: never two that would fit in one', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 12, max: 40 }), fc.nat(), (rows, packInto, seed) => {
        const batches = new Batches(dataset(rows), { batchSize: 1, packInto, seed })
        const sizes = [...batches.epoch()]
          .flatMap((step) => step.batches.map((batch) => batch.tokens))
          .sort((a, b) => a - b)
        expect(Math.max(...sizes)).toBeLessThanOrEqual(packInto)
        if (sizes.length > 1) expect((sizes[0] ?? 0) + (sizes[1] ?? 0)).toBeGreaterThan(packInto)
      }),
    )
  })

  it('numbers segments, restarts positions and never predicts across samples', () => {
    const data = datasetOf([{ ids: [1, 2, 3] }, { ids: [4, 5], labels: [4, 5] }])
    const [step] = new Batches(data, { batchSize: 1, order: 'file', packInto: 5, multipleOf: 6, pad: 7 }).epoch()
    const batch = step?.batches[0]
    expect(batch?.ids).toEqual({ dtype: 'i64', shape: [1, 6], data: BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 7n) })
    expect(batch?.segments.data).toEqual(BigInt64Array.of(1n, 1n, 1n, 2n, 2n, 0n))
    expect(batch?.positions.data).toEqual(BigInt64Array.of(0n, 1n, 2n, 0n, 1n, 0n))
    expect(batch?.places.data).toEqual(Uint32Array.of(0, 0, 0, 1, 1, 0))
    expect(batch?.labelRows.data).toEqual(BigInt64Array.of(0n, 1n, 3n))
    expect(batch?.labels.data).toEqual(BigInt64Array.of(2n, 3n, 5n))
  })

  it('keeps the order of the file where asked, and gives a long example a row of its own', () => {
    const data = datasetOf([2, 3, 9, 2, 4].map((length) => ({ ids: Array(length).fill(1) })))
    const steps = new Batches(data, { batchSize: 1, order: 'file', packInto: 6 }).epoch()
    expect([...steps].map((step) => samplesOfSteps([step]).map((s) => s.place))).toEqual([[0, 1], [2], [3, 4]])
  })
})

describe('refusals', () => {
  it('name what is wrong', () => {
    const data = datasetOf([{ ids: [1, 2], labels: [1, NO_LABEL] }])
    expect(() => collate([[data.example(0)]])).toThrow(/no token of the batch beginning at rows:1 carries loss/)
    expect(() => new Batches(data, { batchSize: 0 })).toThrow(/batchSize is 0, and must be a whole number from 1/)
    expect(() => new Batches(datasetOf([]), { batchSize: 1 })).toThrow(/there are no rows/)
  })
})
