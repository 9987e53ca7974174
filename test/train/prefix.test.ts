/** @file Frozen layers computed once for each row: the same numbers, fewer products, and what is said of it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TrainOptions, train } from '../../src/run/train.ts'
import type { TrainEvent } from '../../src/run/types.ts'
import { tinyBert, tinyLlama, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { FROZEN_PREFIX } from '../tolerances.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-prefix-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)

beforeAll(async () => {
  await writeTinyModel(at('bert'), tinyBert)
  await writeTinyModel(at('llama'), tinyLlama)
  const ids = (i: number): number[] => Array.from({ length: 3 + ((i * 5) % 6) }, (_, t) => 1 + i + t)
  const rows = (count: number): unknown[] =>
    Array.from({ length: count }, (_, i) => ({ input_ids: ids(i), label: ['no', 'yes', 'maybe'][i % 3] }))
  writeRows(at('rows.jsonl'), rows(14))
  writeRows(at('held.jsonl'), rows(5))
  const words = (i: number): string[] =>
    Array.from({ length: 2 + (i % 4) }, (_, t) => 'abcdefgh'.slice(t, t + 2 + (i % 3)))
  writeRows(
    at('words.jsonl'),
    Array.from({ length: 14 }, (_, i) => ({ tokens: words(i), labels: words(i).map((_, t) => 'xyz'[(i + t) % 3]) })),
  )
  writeRows(
    at('text.jsonl'),
    Array.from({ length: 14 }, (_, i) => ({ input_ids: ids(i) })),
  )
})

interface Ran {
  readonly losses: number[]
  readonly evaluations: number[]
  readonly notes: string[]
  readonly graph: string
  /** Rows whose frozen layers were computed. */
  readonly computed: number
}

let runs = 0

const base: TrainOptions = {
  ...{ model: at('bert'), data: at('rows.jsonl'), evalData: at('held.jsonl'), epochs: 2, batchSize: 4, logEvery: 1 },
  ...{ engine: 'reference', learningRate: 1e-2, warmup: 0, samples: 0, frozenDropout: 'off' },
}

async function run(options: TrainOptions): Promise<Ran & { output: string }> {
  const output = at(`run-${runs++}`)
  return { ...(await collect(train({ ...base, output, printGraph: true, ...options }))), output }
}

async function collect(events: AsyncIterable<TrainEvent>): Promise<Ran> {
  const found = { losses: [] as number[], evaluations: [] as number[], notes: [] as string[], graph: '', computed: 0 }
  for await (const event of events) {
    if (event.type === 'step') found.losses.push(event.loss)
    if (event.type === 'eval') found.evaluations.push(event.evalLoss)
    if (event.type === 'notice') found.notes.push(event.message)
    if (event.type === 'progress' && event.label === 'frozen layers')
      found.computed = Math.max(found.computed, event.done)
    if (event.type === 'graph') found.graph = event.text
  }
  return found
}

const once = /frozen layers below .* are computed once for each row/

const cases: Record<string, TrainOptions> = {
  head: { method: 'head' },
  'the top layer by LoRA': { layers: [1], rank: 2, dropout: 0.1 },
  'bottlenecks in the top layer': { method: 'pfeiffer', bottleneck: 4, adapterDrop: [0] },
  'Houlsby adapters in the top layer': { method: 'houlsby', bottleneck: 4, adapterDrop: [0] },
  'words by the head': {
    method: 'head',
    data: at('words.jsonl'),
    evalData: at('words.jsonl'),
    task: 'token-classification',
  },
  'accumulated steps': { method: 'head', batchSize: 2, gradAccumulation: 2 },
  'the top layer of a decoder, packed': {
    ...{ model: at('llama'), data: at('text.jsonl'), evalData: at('text.jsonl'), layers: [1], rank: 2 },
    ...{ packing: true, maxLength: 12, batchSize: 2, trainOn: 'all' },
  },
}

describe.each(Object.entries(cases))('%s', (_, options) => {
  it.each(['reference', 'onnxruntime'] as const)('gives the same numbers from kept values, on %s', async (engine) => {
    const kept = await run({ ...options, engine })
    const plain = await run({ ...options, engine, prefixCache: 'off' })
    expect(kept.notes.some((note) => once.test(note))).toBe(true)
    expect(plain.notes.some((note) => once.test(note))).toBe(false)
    expect(kept.graph).toContain('feed prefix.0')
    expect(kept.graph).not.toContain('layer.0')
    expect(plain.graph.length).toBeGreaterThan(kept.graph.length)
    expect(kept.losses.length).toBeGreaterThan(4)
    for (const list of ['losses', 'evaluations'] as const) {
      expect(kept[list].length).toBe(plain[list].length)
      for (const [i, value] of kept[list].entries())
        expect(Math.abs(value - (plain[list][i] ?? Number.NaN))).toBeLessThan(FROZEN_PREFIX)
    }
  })
})

describe('what is kept', () => {
  it('goes on bit for bit after being left in the middle', async () => {
    const options: TrainOptions = { layers: [1], rank: 2, dropout: 0.1, engine: 'onnxruntime' }
    const whole = await run(options)
    const output = at('broken')
    for await (const event of train({ ...base, ...options, output }))
      if (event.type === 'step' && event.step === 3) break
    await collect(train({ output, resume: true }))
    const weights = (folder: string): Buffer => readFileSync(join(folder, 'adapter_model.safetensors'))
    expect(weights(output).equals(weights(whole.output))).toBe(true)
  })

  it('serves the next run of the process', async () => {
    const options: TrainOptions = { method: 'head', data: at('again.jsonl'), evalData: at('held.jsonl') }
    writeRows(
      at('again.jsonl'),
      Array.from({ length: 9 }, (_, i) => ({ input_ids: [7 + i, 9, 11 + i], label: ['no', 'yes', 'maybe'][i % 3] })),
    )
    const first = await run({ ...options, seed: 1 })
    const second = await run({ ...options, seed: 2 })
    expect(first.computed).toBe(9)
    expect(second.computed).toBe(0)
    expect(second.losses).not.toEqual(first.losses)
  })

  it('is nothing where everything is trained, or what is random lies below', async () => {
    const full = await run({ method: 'full' })
    expect(full.notes.join()).not.toContain('frozen layers')
    expect(full.graph).not.toContain('prefix.0')
    const random = await run({ method: 'head', frozenDropout: 'on' })
    expect(random.graph).not.toContain('prefix.0')
    expect(random.notes.join()).toContain('--frozen-dropout off computes them once')
    const off = await run({ method: 'head', prefixCache: 'off' })
    expect(off.losses).not.toEqual(random.losses)
  })

  it('leaves dropout on above the lowest trained tensor', async () => {
    const { graph } = await run({ layers: [1], rank: 2 })
    const dropped = graph.split('\n').filter((line) => line.includes('dropoutMask'))
    expect(dropped.length).toBeGreaterThan(2)
  })
})
