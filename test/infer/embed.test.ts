/** @file Vectors of texts against transformers' (scripts/goldens/embeddings.py), files of them, and what is refused. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { embed, openEmbedder } from '../../src/run/embed.ts'
import { pythonWith } from '../setup/python.ts'
import { sharedPath } from '../setup/shared.ts'
import { tinyBert, writeJson, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { TORCH } from '../tolerances.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-embed-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const goldens = fileURLToPath(new URL('../goldens', import.meta.url))

type Vectors = Readonly<Record<'mean' | 'cls', number[][]>>
interface GoldenVectors {
  readonly rows: number[][]
  readonly types?: number[][]
  readonly base: Vectors
  readonly adapter: Vectors
}
const all = JSON.parse(readFileSync(join(goldens, 'infer/embeddings.json'), 'utf8')) as Record<string, GoldenVectors>

function expectVectors(found: readonly Float32Array[], wanted: readonly (readonly number[])[] = []): void {
  expect(found.length).toBe(wanted.length)
  for (const [row, vector] of found.entries()) {
    expect(vector.length).toBe(wanted[row]?.length)
    const off = Math.max(...Array.from(vector, (x, i) => Math.abs(x - (wanted[row]?.[i] ?? Number.NaN))))
    expect(off).toBeLessThan(TORCH.vectors)
  }
}

describe.each(['reference', 'onnxruntime'] as const)('vectors are those of transformers and PEFT, on %s', (engine) => {
  it.each(Object.entries(all))('%s', async (name, golden) => {
    const model = join(goldens, 'models', name, 'model')
    const path = join(goldens, 'models', name, 'adapter')
    const rows = golden.rows.map((ids, i) => ({ input_ids: ids, token_type_ids: golden.types?.[i] }))
    expectVectors(await embed({ model, rows, engine }), golden.base.mean)
    expectVectors(await embed({ model, rows, engine, adapter: path }), golden.adapter.mean)
    // Several adapters on one base: here the same one under two names.
    const adapter = [
      { name: 'whole', path },
      { name: 'other', path },
    ]
    const named = rows.map((row, i) => ({ ...row, adapter: i % 2 ? 'whole' : 'other' }))
    expectVectors(await embed({ model, rows: named, engine, adapter }), golden.adapter.mean)
    const isDecoder = ['llama', 'gpt2'].includes(name)
    const first = embed({ model, rows, engine, pooling: 'cls' })
    if (isDecoder) await expect(first).rejects.toMatchObject({ code: 'usage', field: 'pooling' })
    else expectVectors(await first, golden.base.cls)
  })
})

describe('embed', () => {
  it('writes files, keeps the order of the rows, and gives vectors of length 1 where asked', async () => {
    const model = await writeTinyModel(at('bert'), tinyBert)
    const texts = Array.from({ length: 9 }, (_, i) => 'the longer the text '.slice(0, 19 - 2 * i))
    const data = writeRows(
      at('rows.jsonl'),
      texts.map((text) => ({ body: text })),
    )
    const from = { model, data, columns: ['text=body'], batchSize: 4 }
    const plain = await embed({ ...from, output: at('v.safetensors') })
    const saved = (await readSafetensors(at('v.safetensors'))).get('embeddings')
    expect(saved?.shape).toEqual([9, 16])
    expect(saved?.data).toEqual(Float32Array.from(plain.flatMap((vector) => Array.from(vector))))
    const normalized = await embed({ ...from, normalize: true, output: at('v.jsonl') })
    const lines = readFileSync(at('v.jsonl'), 'utf8').trim().split('\n')
    expect(lines.map((line) => Float32Array.from((JSON.parse(line) as { embedding: number[] }).embedding))).toEqual(
      normalized,
    )
    const length = (vector: Float32Array): number => Math.hypot(...vector)
    for (const [i, vector] of normalized.entries()) {
      expect(length(vector)).toBeCloseTo(1, 6)
      expect(vector[3]).toBeCloseTo((plain[i]?.[3] ?? 0) / length(plain[i] ?? vector), 6)
    }
    const embedder = await openEmbedder({ model })
    expect(embedder.dimensions).toBe(16)
    expectVectors(await embedder.embed([...texts].reverse()), plain.map((vector) => Array.from(vector)).reverse())
    await embedder.dispose()
    await expect(embed({ ...from, output: at('v.jsonl') })).rejects.toMatchObject({ code: 'usage', field: 'output' })
    await expect(embed({ ...from, output: at('v.npy') })).rejects.toMatchObject({ code: 'usage', field: 'output' })
    await expect(embed({ model })).rejects.toMatchObject({ code: 'usage', field: 'text' })
  })

  const minilm = sharedPath('data/models/minilm-l6-v2')
  const python = pythonWith('torch', 'transformers')
  it.skipIf(!minilm || !python)(
    'gives the vectors of sentence-transformers with MiniLM',
    async () => {
      const texts = [
        ...['A man is eating pasta.', 'Someone has a meal', 'What year did the Titanic sink ?', 'ünïcödé — 東京', ''],
        'The quick brown fox jumps over the lazy dog. '.repeat(20),
      ]
      const script = fileURLToPath(new URL('../../scripts/goldens/sentence_vectors.py', import.meta.url))
      const json = execFileSync(python ?? '', [script, minilm ?? '', writeJson(at('texts.json'), texts)], {
        ...{ encoding: 'utf8', maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'ignore'] },
      })
      expectVectors(await embed({ model: minilm ?? '', rows: texts }), JSON.parse(json) as number[][])
    },
    120_000,
  )
})
