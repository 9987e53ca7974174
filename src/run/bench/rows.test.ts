/** Rows that both sides of `bench` read: what is encoded is what is read again, token types of pairs too. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { tinyBert, writeRows as writeFile, writeTinyModel } from '../../../test/setup/tiny-model.ts'
import { datasetOf } from '../../data/dataset.ts'
import { openModel } from '../open-model.ts'
import { readRows, writeRows } from './rows.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-bench-rows-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))

it('keep ids, labels and token types', async () => {
  const folder = await writeTinyModel(join(lab, 'model'), tinyBert)
  const rows = [
    { input_ids: [5, 6, 7, 8], token_type_ids: [0, 0, 1, 1], label: 'x' },
    { input_ids: [9, 10], token_type_ids: [0, 1], label: 'y' },
  ]
  const settings = { data: [writeFile(join(lab, 'rows.jsonl'), rows)], maxLength: 16, trainOn: 'all' } as const
  const base = await openModel(folder, { task: 'embedding', labels: [] })
  const file = join(lab, 'rows.json')
  expect(await writeRows(file, 2, settings, base)).toMatchObject({ written: 2, head: { labels: ['x', 'y'] } })
  const read = [...datasetOf(await readRows(file))].sort((a, b) => b.ids.length - a.ids.length)
  expect(read.map(({ ids }) => [...ids])).toEqual(rows.map(({ input_ids: ids }) => ids))
  expect(read.map(({ types }) => [...(types ?? [])])).toEqual(rows.map(({ token_type_ids: types }) => types))
  expect(read.map(({ labels }) => labels[0])).toEqual([0, 1])
})
