/**
 * @file Classifiers, regression, token classifiers and masked language models from rows to a run and back: train, evaluate
 * by the run alone, merge, on tiny models that transformers made (scripts/goldens/encoders.py).
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from '../../src/formats/tensor-files.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { generate } from '../../src/run/generate.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import type { TrainEvent, TrainResult } from '../../src/run/types.ts'
import { tinyWordpieceFiles } from '../setup/tiny-wordpiece.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-classifier-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const golden = (name: string): string => fileURLToPath(new URL(`../goldens/models/${name}/model`, import.meta.url))
const json = (...parts: string[]): Record<string, unknown> => JSON.parse(readFileSync(at(...parts), 'utf8'))

/** A model folder with a tokenizer of 60 tokens. */
function withTokenizer(name: string, to: string): string {
  cpSync(golden(name), at(to), { recursive: true })
  const { tokenizerJson, tokenizerConfig } = tinyWordpieceFiles()
  writeFileSync(at(to, 'tokenizer.json'), JSON.stringify(tokenizerJson))
  writeFileSync(at(to, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig))
  return at(to)
}

/** The model that a classifier was made of: no head, no pooler, names without their prefix. */
async function bareOf(name: string, to: string): Promise<string> {
  const model = withTokenizer(name, to)
  const tensors = await readSafetensors(join(golden(name), 'model.safetensors'))
  const kept = [...tensors].filter(([key]) => key.startsWith('bert.') && !key.includes('pooler'))
  await writeSafetensors(at(to, 'model.safetensors'), new Map(kept.map(([key, value]) => [key.slice(5), value])))
  const config = json(to, 'config.json')
  const { id2label: _, label2id: __, ...rest } = config
  writeFileSync(at(to, 'config.json'), JSON.stringify({ ...rest, architectures: ['BertModel'] }))
  return model
}

function rowsFile(name: string, rows: readonly object[]): string {
  mkdirSync(at('rows'), { recursive: true })
  writeFileSync(at('rows', name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  return at('rows', name)
}

async function run(options: TrainOptions): Promise<{ result: TrainResult; events: TrainEvent[] }> {
  const events: TrainEvent[] = []
  const all = train({ batchSize: 4, samples: 0, engine: 'onnxruntime', logEvery: 1, ...options })
  for (;;) {
    const next = await all.next()
    if (next.done) return { result: next.value, events }
    events.push(next.value)
  }
}
const notices = (events: readonly TrainEvent[]): string =>
  events.flatMap((event) => (event.type === 'notice' ? [event.message] : [])).join('\n')

const FEELINGS = ['good', 'bad']
/** Texts told by their word. */
const feelings = Array.from({ length: 24 }, (_, i) => ({
  text: `${'abcdef'[i % 6]} ${FEELINGS[i % 2]} ${'ghijk'[i % 5]}`,
  label: FEELINGS[i % 2],
}))

describe('a classifier from a model without a head', () => {
  it('learns, says what is new, and is used by its run alone', async () => {
    const model = await bareOf('bert-pair', 'bare')
    const data = [rowsFile('feelings.jsonl', feelings)]
    const evalData = [rowsFile('held.jsonl', feelings.slice(0, 8))]
    const options = { model, data, evalData, steps: 60, learningRate: 1e-2, rank: 4, seed: 3 }
    const { events } = await run({ ...options, output: at('run') })
    expect(notices(events)).toContain(
      "the base's files have no bert.pooler.dense, classifier: newly initialised, trained and saved",
    )
    expect(json('run', 'labels.json')).toEqual({
      task: 'classification',
      labels: ['bad', 'good'],
      label2id: { bad: 0, good: 1 },
    })
    const config = json('run', 'adapter_config.json')
    expect(config).toMatchObject({
      task_type: 'SEQ_CLS',
      modules_to_save: ['classifier', 'score', 'bert.pooler.dense'],
    })
    const keys = [...(await readSafetensors(at('run', 'adapter_model.safetensors'))).keys()]
    for (const name of ['classifier.weight', 'classifier.bias', 'bert.pooler.dense.weight'])
      expect(keys).toContain(`base_model.model.${name}`)
    expect(keys.filter((key) => /(pooler|classifier).*lora_/.test(key))).toEqual([])
    const evals = events.filter((event) => event.type === 'eval')
    expect(evals.at(-1)?.evalLoss).toBeLessThan(0.8 * (evals[0]?.evalLoss ?? 0))
    expect(evals.at(-1)?.metrics.accuracy).toBeGreaterThan(0.8)

    const found = await evaluate({ model, adapter: [at('run')], data, engine: 'reference', perExample: true })
    expect(found).toMatchObject({ tokens: 24, examples: 24 })
    const [[bads = 0, goodsMissed = 0] = [], [badsMissed = 0, goods = 0] = []] = found.confusion?.counts ?? []
    expect(found.confusion?.labels).toEqual(['bad', 'good'])
    expect([bads + goodsMissed, badsMissed + goods]).toEqual([12, 12])
    expect(found.accuracy).toBe((bads + goods) / 24)
    expect(found.accuracy).toBeGreaterThan(0.8)
    expect(found.losses?.length).toBe(24)
    const unseen = rowsFile('unseen.jsonl', [{ text: 'good', label: 'goood' }])
    await expect(evaluate({ model, adapter: [at('run')], data: [unseen] })).rejects.toMatchObject({
      code: 'data',
      file: `${unseen}:1`,
      suggestion: 'good',
    })

    await expect(evaluate({ model, data })).rejects.toMatchObject({ code: 'usage', field: 'task' })

    await mergeAdapter({ model, adapter: [at('run')], output: at('merged') })
    expect(json('merged', 'config.json')).toMatchObject({
      architectures: ['BertForSequenceClassification'],
      id2label: { 0: 'bad', 1: 'good' },
    })
    const merged = await evaluate({ model: at('merged'), data, engine: 'reference' })
    expect(merged.accuracy).toBe(found.accuracy)
    expect(Math.abs(merged.loss - found.loss)).toBeLessThan(1e-5)
  })

  it('is trained whole with the same rows, and its folder says what it is', async () => {
    const model = at('bare')
    const data = [at('rows', 'feelings.jsonl')]
    const options = { model, data, steps: 120, learningRate: 5e-3, method: 'full' } as const
    await run({ ...options, output: at('full') })
    expect(json('full', 'config.json')).toMatchObject({
      architectures: ['BertForSequenceClassification'],
      label2id: { bad: 0, good: 1 },
      problem_type: 'single_label_classification',
    })
    expect((await evaluate({ model: at('full'), data })).accuracy).toBe(1)
  })

  it('goes on bit for bit after a stop', async () => {
    const options = { model: at('bare'), data: [at('rows', 'feelings.jsonl')], learningRate: 1e-2, saveEvery: 3 }
    await run({ ...options, output: at('straight'), steps: 6, schedule: 'constant', warmup: 0 })
    await run({ ...options, output: at('halves'), steps: 3, schedule: 'constant', warmup: 0 })
    await run({ output: at('halves'), steps: 6, resume: true })
    const weights = (name: string): Buffer => readFileSync(at(name, 'adapter_model.safetensors'))
    expect(weights('halves').equals(weights('straight'))).toBe(true)
  })
})

describe('other heads', () => {
  it('a head that stands keeps its size: rows of another are refused', async () => {
    const model = withTokenizer('bert-pair', 'three')
    const fit = { model, output: at('no'), steps: 1 }
    await expect(run({ ...fit, data: [at('rows', 'feelings.jsonl')] })).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining("the model's head tells 3 labels apart"),
    })
    const one = rowsFile(
      'one.jsonl',
      feelings.map((row) => ({ ...row, label: 'x' })),
    )
    await expect(run({ ...fit, data: [one] })).rejects.toThrow(/nothing to tell apart/)
  })

  it('regression comes close to numbers', async () => {
    const model = withTokenizer('bert-regression', 'numbers')
    const rows = feelings.map(({ text, label }) => ({ text, label: label === 'good' ? 1.5 : -0.5 }))
    const data = [rowsFile('numbers.jsonl', rows)]
    const options = { model, data, evalSplit: 0.25, steps: 200, learningRate: 1e-2, method: 'full' } as const
    const { events } = await run({ ...options, output: at('regressed') })
    expect(json('regressed', 'labels.json').task).toBe('regression')
    const evals = events.filter((event) => event.type === 'eval')
    expect(evals.at(-1)?.metrics.pearson).toBeGreaterThan(0.9)
    const found = await evaluate({ model: at('regressed'), data })
    expect(found.loss).toBeLessThan(0.1)
    expect(found.spearman).toBeGreaterThan(0.8)
    expect(found.accuracy).toBeUndefined()
  })

  it('words get entities', async () => {
    const model = await bareOf('bert-tokens', 'words')
    const rows = Array.from({ length: 20 }, (_, i) => ({
      tokens: ['abcde'[i % 5] ?? 'a', 'rome', 'good'],
      labels: ['O', 'B-LOC', i % 2 === 0 ? 'I-LOC' : 'I-LOC'],
    }))
    const data = [rowsFile('words.jsonl', rows)]
    await run({ model, data, steps: 40, learningRate: 1e-2, rank: 4, output: at('tagged') })
    expect(json('tagged', 'adapter_config.json').task_type).toBe('TOKEN_CLS')
    const found = await evaluate({ model, adapter: [at('tagged')], data })
    expect(found).toMatchObject({ accuracy: 1, precision: 1, recall: 1, f1: 1, tokens: 60 })
  })

  it('masked tokens are told, drawn anew each epoch', async () => {
    const model = withTokenizer('bert-masked', 'masked')
    const data = [
      rowsFile(
        'texts.jsonl',
        Array.from({ length: 16 }, () => ({ text: 'a b c d e f g h' })),
      ),
    ]
    const { events } = await run({ model, data, steps: 300, learningRate: 1e-2, method: 'full', output: at('told') })
    const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []))
    expect(losses[0]).toBeGreaterThan(2)
    expect(losses.slice(-8).reduce((a, b) => a + b, 0) / 8).toBeLessThan(0.6 * (losses[0] ?? 0))
    const found = await evaluate({ model: at('told'), data })
    expect(found.tokens).toBe(16)
    expect(found.loss).toBeLessThan((await evaluate({ model, data })).loss)
  })

  it('an encoder writes no text', async () => {
    const events = generate({ model: at('masked'), prompt: 'a' })
    await expect(events.next()).rejects.toMatchObject({ code: 'unsupported', field: 'model_type' })
  })
})
