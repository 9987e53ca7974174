/** The embedded base's corpus: reproducible, and free of what the quickstart teaches. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { values } from '../src/run/quickstart/values.ts'
import { loadTokenizer } from '../src/text/load-tokenizer.ts'
import type { Tokenizer } from '../src/text/tokenizer.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const made = mkdtempSync(join(tmpdir(), 'lowrank-tiny-'))
let tokenizer: Tokenizer
let rows: { input_ids: number[]; labels: number[] }[]

beforeAll(async () => {
  execFileSync(process.execPath, [join(root, 'scripts/tiny/make.mjs'), made, '1500'])
  tokenizer = await loadTokenizer(join(root, 'lowrank-tiny'))
  rows = readFileSync(join(made, 'corpus.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { input_ids: number[]; labels: number[] })
}, 120_000)

afterAll(() => rmSync(made, { recursive: true, force: true }))

/** Parts in brackets that are a JSON object, or a JSON list of several values. */
function jsonIn(text: string): string[] {
  return [...text.matchAll(/[{[][^{}[\]]*[\]}]/g)].flatMap(([part]) => {
    try {
      const value: unknown = JSON.parse(part)
      return Array.isArray(value) && value.length < 2 ? [] : [part]
    } catch {
      return []
    }
  })
}

describe('the corpus of lowrank-tiny', () => {
  it('comes with the tokenizer that ships, byte for byte', () => {
    for (const file of ['tokenizer.json', 'tokenizer_config.json'])
      expect(readFileSync(join(made, file), 'utf8')).toBe(readFileSync(join(root, 'lowrank-tiny', file), 'utf8'))
  })

  it('holds no JSON', () => {
    expect(jsonIn('a {"b":1} [1, 2] {c}')).toEqual(['{"b":1}', '[1, 2]'])
    expect(rows.flatMap(({ input_ids }) => jsonIn(tokenizer.decode(input_ids)))).toEqual([])
  })

  it('shares no name, kind, good or town with the quickstart', () => {
    const words = new Set(
      rows.flatMap(({ input_ids }) =>
        tokenizer
          .decode(input_ids)
          .toLowerCase()
          .match(/\p{L}+/gu),
      ),
    )
    const shared = (['train', 'heldout'] as const).flatMap((part) =>
      (['firstNames', 'surnames', 'kinds', 'goods', 'towns'] as const).flatMap((field) =>
        values[part][field].filter((entry) => words.has(entry.toLowerCase())),
      ),
    )
    expect(shared).toEqual([])
  })

  it('labels a word only where it has stood before, but for a fifth of the documents', () => {
    const share = (row: { labels: number[] }) => row.labels.filter((label) => label !== -100).length / row.labels.length
    const full = rows.filter((row) => share(row) > 0.97).length / rows.length
    expect(full).toBeGreaterThan(0.15)
    expect(full).toBeLessThan(0.25)
    for (const { input_ids, labels } of rows) {
      expect(input_ids.length).toBeLessThanOrEqual(256)
      expect(labels.length).toBe(input_ids.length)
      expect(labels.every((label, i) => label === -100 || label === input_ids[i])).toBe(true)
    }
  })
})
