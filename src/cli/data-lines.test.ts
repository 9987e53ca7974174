import { describe, expect, it } from 'vitest'
import type { DataReport } from '../data/data-report.ts'
import { dataLines, spark } from './data-lines.ts'
import type { Palette } from './terminal.ts'

const same = (text: string): string => text
const plain: Palette = { heading: same, strong: same, flag: same, faint: same, good: same, warn: same, bad: same }
const report: DataReport = {
  format: 'messages',
  rows: 1234,
  tokens: 5000,
  labelled: 2000,
  labelledShare: 0.4,
  lengths: { min: 3, median: 40, p95: 90, max: 99, mean: 41 },
  histogram: [
    { from: 3, to: 51, rows: 8 },
    { from: 51, to: 99, rows: 1 },
  ],
  cut: 5,
  cutShare: 0.01,
  skipped: 2,
  unlabelled: 0,
  padding: { random: 0.5, bucketed: 0.1, packed: 0.02 },
  batching: 'bucketed',
  used: 0.1,
  heldRows: 10,
  first: {
    source: 'rows.jsonl:1',
    tokens: 900,
    shown: 400,
    pieces: [
      { text: 'ask\n', labelled: false },
      { text: 'one\ntwo\u001b[31m', labelled: true },
    ],
  },
}

describe('lines on the data', () => {
  it('say what there is, in brackets where there are no colours', () => {
    const lines = dataLines(report, plain, 100)
    expect(
      lines.join('\n'),
    ).toBe(`  rows      1,234 messages rows, 5,000 tokens, 2,000 of them with loss (40 %); 10 more to evaluate on
  lengths   3 to 99 tokens, median 40, 95 % up to 90  █▁
  padding   50 % in random order, 10 % with like lengths together (this run), 2 % packed
  cut       5 rows (1 %) to the maximal length
  left out  2 bad rows
  first row rows.jsonl:1, the first 400 of 900 tokens; what stands in ⟦ ⟧ carries loss
            ask
            ⟦one⟧
            ⟦two\uFFFD[31m⟧`)
  })
  it('colour what carries loss where there are colours, and break long lines', () => {
    const green = (text: string): string => `<${text}>`
    const long = { ...report.first, pieces: [{ text: 'x'.repeat(100), labelled: true }] }
    const lines = dataLines({ ...report, first: long }, { ...plain, good: green }, 60)
    expect(lines.at(-3)).toBe(`            <${'x'.repeat(44)}>`)
    expect(lines.filter((line) => line.length > 59 && line.includes('xx'))).toEqual([])
    expect(lines.join('\n')).not.toContain('⟦')
  })
  it('draw counts as blocks', () => {
    expect(spark([0, 1, 4, 8])).toBe(' ▁▄█')
  })
})
