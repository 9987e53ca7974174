import { describe, expect, it } from 'vitest'
import { tinyTokenizer } from '../../test/setup/tiny-tokenizer.ts'
import { Batches } from './batches.ts'
import { dataReport } from './data-report.ts'
import { datasetOf } from './dataset.ts'
import { loadDataset } from './load-dataset.ts'

const counts = { skipped: 0, unlabelled: 0, cut: 0, rows: 0, tokens: 0, labelled: 0, longest: 0, reasons: [] }
const options = { batchSize: 4, gradAccumulation: 2, maxLength: 64, packing: false, shuffle: true, seed: 3 }

/** What `Batches` really makes of the rows. */
function measured(data: ReturnType<typeof datasetOf>, more: { packInto?: number; order?: 'file' | 'shuffle' }): number {
  const batches = [...new Batches(data, { batchSize: 4, gradAccumulation: 2, seed: 3, ...more }).epoch(0)].flatMap(
    (s) => s.batches,
  )
  const computed = batches.reduce((sum, batch) => sum + batch.ids.data.length, 0)
  return 1 - batches.reduce((sum, batch) => sum + batch.tokens, 0) / computed
}

describe('a data report', () => {
  const lengths = Array.from({ length: 203 }, (_, i) => 2 + ((i * 37) % 61))
  const data = datasetOf(lengths.map((length) => ({ ids: Array(length).fill(1) })))

  it('tells the padding that batches have', () => {
    const report = dataReport(data, { ...counts, format: 'text', rows: 203 }, options)
    expect(report.padding.bucketed).toBeCloseTo(measured(data, {}), 12)
    expect(report.padding.packed).toBeCloseTo(measured(data, { packInto: 64 }), 12)
    expect(report.used).toBe(report.padding.bucketed)
    expect(report.padding.random).toBeGreaterThan(3 * report.padding.bucketed)
    const inOrder = dataReport(data, { ...counts, format: 'text' }, { ...options, shuffle: false })
    expect(inOrder).toMatchObject({ batching: 'file' })
    expect(inOrder.used).toBeCloseTo(measured(data, { order: 'file' }), 12)
    expect(inOrder.padding.packed).toBeCloseTo(measured(data, { order: 'file', packInto: 64 }), 12)
  })

  it('tells lengths, labels and what was left out', () => {
    const report = dataReport(
      data,
      { ...counts, format: 'text', rows: 203, unlabelled: 1, cut: 51, skipped: 2 },
      options,
    )
    const sorted = [...lengths].sort((a, b) => a - b)
    expect(report.lengths).toMatchObject({ min: 2, max: 62, median: sorted[101], p95: sorted[192] })
    expect(report.histogram.reduce((sum, bin) => sum + bin.rows, 0)).toBe(203)
    expect(report.histogram.at(-1)?.to).toBeGreaterThan(62)
    expect(report).toMatchObject({
      rows: 203,
      tokens: report.labelled + 203,
      cut: 51,
      cutShare: 0.25,
      skipped: 2,
      unlabelled: 1,
    })
  })

  it('shows the first row with what carries loss', async () => {
    const tokenizer = tinyTokenizer({ addBos: true })
    const rows = [{ prompt: 'é t', completion: 'he 🙂' }]
    const loaded = await loadDataset({
      sources: [rows],
      tokenizer,
      vocabSize: 263,
      maxLength: 99,
      trainOn: 'completion',
    })
    const report = dataReport(loaded.dataset, loaded.report, { ...options, tokenizer })
    expect(report.first).toMatchObject({
      source: 'rows:1',
      pieces: [
        { text: '<|bos|>é t', labelled: false },
        { text: 'he 🙂<|eos|>', labelled: true },
      ],
    })
    const ids = datasetOf([{ ids: [5, 6, 7], labels: [-100, -100, 7] }])
    expect(dataReport(ids, { ...counts, format: 'input_ids' }, options).first.pieces).toEqual([
      { text: '5 6', labelled: false },
      { text: ' 7', labelled: true },
    ])
  })
})
