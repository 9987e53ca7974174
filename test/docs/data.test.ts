/** @file Every example in docs/data.md is read, as the kind of row its name says. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { HeadFacts } from '../../src/data/label-plan.ts'
import { loadDataset } from '../../src/data/load-dataset.ts'
import { repositoryRoot } from '../setup/doc-example.ts'
import { tinyTokenizer } from '../setup/tiny-tokenizer.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-docs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const guide = readFileSync(join(repositoryRoot, 'docs/data.md'), 'utf8')
const blocks = [...guide.matchAll(/^```(?:jsonl|json|csv|tsv) (\S+)\n([\s\S]*?)^```$/gm)].map(
  ([, name = '', text = '']) => ({
    name,
    text,
  }),
)
const chatTemplate = readFileSync(join(repositoryRoot, 'test/goldens/text/templates/trl-qwen2_5.jinja'), 'utf8')

/** Rows with labels are for a model with a fresh head. */
function headOf(name: string): HeadFacts | undefined {
  const task = (['token-classification', 'classification'] as const).find((task) => name.startsWith(task))
  return task && { task, labels: [], stands: false, settled: false }
}

describe('docs/data.md', () => {
  it('has an example of every kind of row that is a text', () => {
    expect(blocks.map(({ name }) => name.split('.')[0])).toEqual(
      expect.arrayContaining(['text', 'prompt-completion', 'messages', 'sharegpt', 'alpaca', 'input_ids']),
    )
  })

  it.each(blocks)('$name', async ({ name, text }) => {
    const file = join(folder, name)
    writeFileSync(file, text)
    const kinds = [tinyTokenizer({ chatTemplate }), ...(name.startsWith('alpaca') ? [tinyTokenizer()] : [])]
    for (const tokenizer of kinds) {
      const options = { vocabSize: 263, maxLength: 4096, trainOn: 'completion', head: headOf(name) } as const
      const { report } = await loadDataset({ sources: [file], tokenizer, ...options })
      expect(name).toMatch(new RegExp(`^${report.format}\\b`))
      expect(report).toMatchObject({ skipped: 0, unlabelled: 0, cut: 0 })
      expect(report.rows).toBeGreaterThan(0)
    }
  })
})
