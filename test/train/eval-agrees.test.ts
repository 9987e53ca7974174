/**
 * @file What a run says of its last evaluation is what `eval` says of its folder: every method on every task, on a base
 * with a head and without one. A correlation can be near 1 where the loss is not near 0; the two must be those of the same weights.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { evaluate } from '../../src/run/evaluate.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import type { TrainEvent } from '../../src/run/types.ts'
import { tinyBert, writeRows, writeTinyModel } from '../setup/tiny-model.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-agrees-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)

const ids = (i: number): number[] => Array.from({ length: 3 + ((i * 5) % 6) }, (_, t) => 1 + i + t)
const rows = (label: (i: number) => unknown): unknown[] =>
  Array.from({ length: 12 }, (_, i) => ({ input_ids: ids(i), label: label(i) }))
const TASKS = {
  classification: rows((i) => ['no', 'yes', 'maybe'][i % 3]),
  regression: rows((i) => (i % 4) / 2 - 0.25),
  'token-classification': Array.from({ length: 12 }, (_, i) => ({
    tokens: ['a', 'b', 'c', 'd'].slice(0, 1 + (i % 4)),
    labels: ['O', 'B-X', 'I-X', 'O'].slice(0, 1 + (i % 4)),
  })),
} as const
type TaskName = keyof typeof TASKS
const CLASSES: Record<TaskName, string> = {
  classification: 'BertForSequenceClassification',
  regression: 'BertForSequenceClassification',
  'token-classification': 'BertForTokenClassification',
}

beforeAll(async () => {
  await writeTinyModel(at('bare'), tinyBert)
  for (const [task, all] of Object.entries(TASKS)) {
    writeRows(at(`${task}.jsonl`), all)
    const names = { classification: ['maybe', 'no', 'yes'], regression: ['LABEL_0'] }[task] ?? ['B-X', 'I-X', 'O']
    const id2label = Object.fromEntries(names.map((name, i) => [String(i), name]))
    const label2id = Object.fromEntries(names.map((name, i) => [name, i]))
    const architectures = [CLASSES[task as TaskName]]
    await writeTinyModel(at(task), { ...tinyBert, architectures, id2label, label2id })
  }
})

const METHODS: Record<string, TrainOptions> = {
  lora: { rank: 4 },
  'lora with all biases': { rank: 4, bias: 'all' },
  dora: { rank: 4, dora: true },
  houlsby: { method: 'houlsby', bottleneck: 5 },
  pfeiffer: { method: 'pfeiffer', bottleneck: 5 },
  parallel: { method: 'parallel', bottleneck: 5 },
  bitfit: { method: 'bitfit' },
  'ln-tuning': { method: 'ln-tuning' },
  head: { method: 'head' },
  full: { method: 'full' },
}

const ON_A_HEAD = ['lora', 'houlsby', 'full']

describe.each(Object.keys(TASKS) as TaskName[])('%s', (task) => {
  describe.each(['bare', 'with a head'])('on a base %s', (base) => {
    const methods = Object.entries(METHODS).filter(([name]) => base === 'bare' || ON_A_HEAD.includes(name))
    it.each(methods)('%s', async (name, options) => {
      const model = base === 'bare' ? at('bare') : at(task)
      const data = [at(`${task}.jsonl`)]
      const output = at(`${task}-${base}-${name}`)
      const shared = {
        model,
        data,
        evalData: data,
        output,
        steps: 4,
        evalEvery: 2,
        batchSize: 6,
        samples: 0,
        learningRate: 2e-2,
      }
      const events: TrainEvent[] = []
      for await (const event of train({ ...shared, task, engine: 'reference', ...options })) events.push(event)
      const evals = events.filter((event) => event.type === 'eval')
      const [first, last] = [evals[0], evals.at(-1)]
      expect(last?.evalLoss).not.toBe(first?.evalLoss)
      const isFull = options.method === 'full'
      const found = await evaluate({
        ...(isFull ? { model: output } : { model, adapter: [output] }),
        ...{ data, batchSize: 4, engine: 'reference' },
      })
      expect(Math.abs(found.loss - (last?.evalLoss ?? Number.NaN))).toBeLessThan(1e-6 * Math.max(1, found.loss))
      for (const [metric, value] of Object.entries(last?.metrics ?? {}))
        expect(found[metric as keyof typeof found], metric).toBeCloseTo(value, 6)
    })
  })
})
