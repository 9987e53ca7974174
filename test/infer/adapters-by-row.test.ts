/**
 * @file Several adapters on one encoder, each answering its own rows as it does alone: every method, heads of every size,
 * families whose layers differ, and folders of AdapterHub's library (scripts/goldens/adapterhub.py).
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { needsOwnBatch } from '../../src/infer/seat.ts'
import { classify, openClassifier } from '../../src/run/classify.ts'
import { openReader } from '../../src/run/open-reader.ts'
import type { TrainOptions } from '../../src/run/train.ts'
import { tinyBert, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { engines, expectClose, expectSame, golden, inOrder, run, some, withTokenizer } from './classifying.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-by-row-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('several adapters on one encoder', () => {
  const model = at('bert')
  const adapters = new Map<string, TrainOptions>([
    ['lora', { rank: 2 }],
    ['biased', { rank: 2, bias: 'all', seed: 2 }],
    ['two', { rank: 4, seed: 3, data: at('two.jsonl') }],
    ['dora', { rank: 2, dora: true, seed: 4 }],
    ['words', { rank: 2, seed: 5, modulesToSave: ['bert.embeddings.word_embeddings'] }],
    ['houlsby', { method: 'houlsby', bottleneck: 4, adapterInitStd: 0.2 }],
    ['pfeiffer', { method: 'pfeiffer', bottleneck: 4, seed: 6 }],
    ['parallel', { method: 'parallel', bottleneck: 4, seed: 7 }],
    ['bitfit', { method: 'bitfit' }],
    ['norms', { method: 'ln-tuning' }],
    ['head', { method: 'head' }],
    ['number', { method: 'bitfit', data: at('numbers.jsonl'), seed: 8 }],
    ['tags', { rank: 2, data: at('tags.jsonl'), seed: 9 }],
  ])
  const named = (names: readonly string[]): { name: string; path: string }[] =>
    names.map((name) => ({ name, path: at('runs', name) }))

  beforeAll(async () => {
    await writeTinyModel(model, { ...tinyBert, hidden_dropout_prob: 0 })
    withTokenizer(model)
    const data = writeRows(at('three.jsonl'), some)
    writeRows(
      at('two.jsonl'),
      some.map((row, i) => ({ ...row, label: i % 2 })),
    )
    writeRows(
      at('numbers.jsonl'),
      some.map((row, i) => ({ ...row, label: i / 10 })),
    )
    writeRows(
      at('tags.jsonl'),
      some.map(({ text }) => ({
        tokens: text.split(' '),
        labels: text.split(' ').map((word) => (word === 'rome' ? 'B-LOC' : 'O')),
      })),
    )
    for (const [name, options] of adapters) await run({ model, data, output: at('runs', name), ...options })
  }, 120_000)

  it('share a batch but for those that cannot', async () => {
    const settings = {
      model,
      adapter: named([...adapters.keys()]),
      engine: 'reference',
      threads: 'auto',
      dtype: 'auto',
    } as const
    const { seats, engine } = await openReader({ ...settings, batchSize: 8, maxLength: 64 }, 'labels', () => undefined)
    await engine.dispose()
    const apart = seats.flatMap((seat) => (needsOwnBatch(seat) ? [seat.name] : []))
    expect(apart).toEqual(['dora', 'words'])
  })

  it.each(engines)(
    'answer each row as alone, on %s',
    async (engine) => {
      const names = [...adapters.keys()]
      const rows = some.flatMap(({ text }, i) => {
        const adapter = names[i % names.length]
        return adapter
          ? [
              { text, adapter },
              { text, adapter: names[(i * 5 + 2) % names.length] ?? adapter },
            ]
          : []
      })
      const together = await classify({ model, adapter: named(names), engine, rows, batchSize: 7 })
      for (const name of names) {
        const own = rows.flatMap((row, i) => (row.adapter === name ? [i] : []))
        expect(own.length).toBeGreaterThan(1)
        const alone = await classify({
          model,
          adapter: at('runs', name),
          engine,
          rows: own.map((i) => rows[i]?.text ?? ''),
        })
        for (const [i, result] of alone.entries()) expectSame(together[own[i] ?? 0], result)
      }
      // Different adapters say different things: the test would see a mixture.
      const first = await classify({
        ...{ model, adapter: named(names), engine },
        rows: names.map((adapter) => ({ text: some[0]?.text ?? '', adapter })),
      })
      const said = first.map((result) => JSON.stringify(Object.values(result.scores ?? result)))
      expect(new Set(said).size).toBe(names.length)
    },
    60_000,
  )

  it('are asked for by name', async () => {
    const ask = (row: object, adapter = named(['houlsby', 'pfeiffer'])): Promise<unknown> =>
      classify({ model, adapter, rows: [{ text: 'a' }, { text: 'b', ...row }].slice(1) })
    await expect(ask({ adapter: 'houlsbi' })).rejects.toMatchObject({
      ...{ code: 'usage', field: 'adapter', file: 'rows:1', suggestion: 'houlsby' },
    })
    await expect(ask({})).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('names no adapter') })
    await expect(ask({ adapter: 3 })).rejects.toMatchObject({ code: 'data', field: 'adapter' })
    await expect(ask({}, [...named(['head']), ...named(['head'])])).rejects.toMatchObject({ code: 'usage' })
    const classifier = await openClassifier({ model, adapter: named(['two', 'houlsby']) })
    expect(classifier.labels).toEqual({ two: ['0', '1'], houlsby: ['no', 'well', 'yes'] })
    const [mine, other] = await classifier.classify(['a b', { text: 'a b', adapter: 'two' }], {
      adapter: 'houlsby',
      topK: 2,
    })
    expect(Object.keys(mine?.scores ?? {})).toHaveLength(2)
    expect(Object.keys(other?.scores ?? {})).toEqual(expect.arrayContaining(['0', '1']))
    expect(await classifier.classify([])).toEqual([])
    await classifier.dispose()
  })

  it('beside runs whose whole model was trained', async () => {
    const full = await run({ model, data: at('three.jsonl'), output: at('full'), method: 'full' })
    const [result] = await classify({ model: full, text: 'a good b' })
    expect(Object.keys(result?.scores ?? {}).sort()).toEqual(['no', 'well', 'yes'])
  })
})

/** Where adapters sit that others have to sit beside, and what of them a batch cannot choose by row. */
const families = {
  // Keys of the relative positions are made by the same layer as those of the tokens, for the whole batch.
  'deberta-v2': { targets: ['key_proj', 'value_proj'], apart: ['lora', 'norms', 'houlsby', 'bitfit'] },
  modernbert: { targets: ['Wqkv', 'Wi'], apart: [] },
  distilbert: { targets: ['q_lin', 'lin2'], apart: [] },
  'xlm-roberta': { targets: ['query', 'dense'], apart: [] },
  electra: { targets: ['query', 'dense', 'embeddings_project'], apart: [] },
} as const

describe.each(Object.entries(families))('several adapters on %s', (name, { targets, apart }) => {
  it('answer each row as alone', async () => {
    const model = golden(name, 'model')
    const rows = Array.from({ length: 24 }, (_, i) => ({ input_ids: [2, 5 + i, 9, 3], label: i % 2 }))
    const data = writeRows(
      at(`${name}.jsonl`),
      rows.map((row, i) => ({ ...row, label: i % 3 === 2 ? 0 : row.label })),
    )
    const options: Record<string, TrainOptions> = {
      lora: { targets: [...targets], rank: 2 },
      norms: { method: 'ln-tuning' },
      houlsby: { method: 'houlsby', bottleneck: 4, adapterInitStd: 0.2 },
      bitfit: { method: 'bitfit' },
      narrow: { targets: 'all-linear', layers: [1], rank: 1, exclude: ['key_proj', 'query_proj'] },
    }
    const adapter: { name: string; path: string }[] = []
    for (const [method, more] of Object.entries(options))
      adapter.push({ name: method, path: await run({ model, data, output: at(`${name}-${method}`), ...more }) })
    const settings = { model, adapter, engine: 'reference', threads: 'auto', dtype: 'auto' } as const
    const { seats, engine } = await openReader({ ...settings, batchSize: 8, maxLength: 40 }, 'labels', () => undefined)
    await engine.dispose()
    expect(seats.flatMap((seat) => (needsOwnBatch(seat) ? [seat.name] : []))).toEqual(apart)
    const asked = rows.map(({ input_ids }, i) => ({ input_ids, adapter: adapter[i % adapter.length]?.name }))
    const together = await classify({ model, adapter, rows: asked, engine: 'onnxruntime' })
    for (const { name: own, path } of adapter) {
      const places = asked.flatMap((row, i) => (row.adapter === own ? [i] : []))
      const alone = await classify({
        ...{ model, adapter: path, engine: 'reference' },
        rows: places.map((i) => ({ input_ids: asked[i]?.input_ids ?? [] })),
      })
      for (const [i, result] of alone.entries()) expectSame(together[places[i] ?? 0], result)
    }
  }, 60_000)
})

describe('folders of AdapterHub’s library', () => {
  const root = fileURLToPath(new URL('../goldens/adapterhub', import.meta.url))
  it.each(['houlsby', 'pfeiffer', 'parallel', 'houlsby-dropped', 'pfeiffer-roberta', 'houlsby-distilbert'])(
    '%s',
    async (name) => {
      const [model, path] = [join(root, name, 'model'), join(root, name, 'adapter')]
      const wanted = (await readSafetensors(join(root, name, 'golden.safetensors'))).get('logits_adapter')
      const all = JSON.parse(readFileSync(join(root, name, 'golden.json'), 'utf8')) as {
        input_ids: number[][]
        attention_mask: number[][]
      }
      const rows = all.input_ids.map((ids, row) => ({
        input_ids: ids.filter((_, t) => all.attention_mask[row]?.[t] === 1),
      }))
      const alone = await classify({ model, adapter: path, rows })
      const width = wanted?.shape[1] ?? 0
      for (const [row, result] of alone.entries()) {
        const logits = Array.from(wanted?.data ?? [], Number).slice(row * width, (row + 1) * width)
        const powers = logits.map((x) => Math.exp(x))
        const sum = powers.reduce((a, b) => a + b, 0)
        expectClose(
          inOrder(result),
          powers.map((p) => p / sum),
        )
      }
      const twice = [
        { name: 'a', path },
        { name: 'b', path },
      ]
      const mixed = await classify({
        model,
        adapter: twice,
        rows: rows.map((row, i) => ({ ...row, adapter: i % 2 ? 'a' : 'b' })),
      })
      for (const [i, result] of mixed.entries()) expectSame(result, alone[i] ?? {})
    },
  )
})
