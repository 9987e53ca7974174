/** @file What a classifier told of rows, in the report of a run and of an evaluation: on tiny models, by every reader's count. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { evaluate } from '../../src/run/evaluate.ts'
import { toldSections } from '../../src/run/report/told-section.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import { classFigures } from '../../src/train/metrics.ts'
import { tinyBert, writeRows, writeTinyModel } from '../setup/tiny-model.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-told-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const rows = Array.from({ length: 18 }, (_, i) => ({
  input_ids: [2, 5 + i, 40 + (i % 3), 3],
  label: ['ill', 'so-so', '<well>'][i % 3],
}))

async function run(options: TrainOptions): Promise<string> {
  for await (const event of train({ batchSize: 4, samples: 0, engine: 'reference', ...options })) void event
  return readFileSync(join(options.output ?? '', 'report.html'), 'utf8')
}

/** The matrix below a heading. */
function matrixOf(page: string, heading: string): number[][] {
  const section = page.slice(page.indexOf(`<h2>${heading}`))
  const body = /<table class="confusion">.*?<tbody>(.*?)<\/tbody>/s.exec(section)?.[1] ?? ''
  return [...body.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row = '']) =>
    [...row.matchAll(/<td[^>]*>([^<]*)<\/td>/g)].map(([, cell = '']) => (cell === '·' ? 0 : Number(cell))),
  )
}

describe('reports', () => {
  it('show what was told as what, of the weights that were kept and of the rows to test on', async () => {
    const model = await writeTinyModel(at('bert'), tinyBert)
    const [data, evalData, testData] = [
      writeRows(at('a.jsonl'), rows),
      writeRows(at('b.jsonl'), rows.slice(3)),
      writeRows(at('c.jsonl'), rows.slice(0, 7)),
    ]
    const settings = { model, data, evalData, testData, evalEvery: 1, keepBest: true, learningRate: 5e-2, rank: 2 }
    const page = await run({ ...settings, steps: 5, output: at('run') })
    for (const [heading, file] of [
      ['Evaluation rows', evalData],
      ['Test rows', testData],
    ] as const) {
      const report = at('eval.html')
      const found = await evaluate({ model, adapter: at('run'), data: file, report })
      const matrix = matrixOf(page, heading)
      expect(matrix.flat().reduce((a, b) => a + b, 0)).toBe(found.examples)
      expect(matrix).toEqual(found.confusion?.counts)
      expect(matrixOf(readFileSync(report, 'utf8'), 'Rows')).toEqual(matrix)
      expect(readFileSync(report, 'utf8')).toContain(`<dt>Accuracy</dt><dd>${found.accuracy?.toFixed(4)}`)
    }
    expect(page).toContain('&lt;well&gt;')
    expect(page).not.toContain('<well>')
  }, 60_000)

  it('show numbers told against true ones', async () => {
    const model = at('bert')
    const data = writeRows(
      at('numbers.jsonl'),
      rows.map((row, i) => ({ ...row, label: i / 4 })),
    )
    const page = await run({ model, data, evalSplit: 0.3, steps: 2, rank: 2, output: at('numbers') })
    const section = page.slice(page.indexOf('told against true'))
    expect([...section.matchAll(/<circle /g)]).toHaveLength(5)
  }, 60_000)
})

describe('sections', () => {
  const labels = Array.from({ length: 30 }, (_, i) => `c${i}`)

  it('of many classes list the largest mistakes', () => {
    const counts = labels.map((_, i) => labels.map((__, j) => (i === j ? 5 : i === 3 && j === 7 ? 4 : 0)))
    const [{ markup } = { markup: '' }] = toldSections([{ name: 'Rows', told: { kind: 'classes', labels, counts } }])
    expect(markup).toContain('<th scope="row">c3</th><td>c7</td><td>4</td>')
    expect(markup).not.toContain('class="confusion"')
    expect(markup).toContain('150 of 154 are told right')
  })

  it('have figures of each class, none where there is nothing to divide by', () => {
    const figures = classFigures([
      [3, 1, 0],
      [2, 4, 0],
      [0, 0, 0],
    ])
    expect(figures[0]).toEqual({ actual: 4, predicted: 5, precision: 0.6, recall: 0.75, f1: 6 / 9 })
    expect(figures[2]).toEqual({ actual: 0, predicted: 0 })
  })
})
