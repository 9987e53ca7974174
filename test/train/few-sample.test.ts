/** @file Few-sample fine-tuning from options to run folders: what is drawn anew, kept, measured, said, refused; a run goes on. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import type { TrainEvent, TrainResult } from '../../src/run/types.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { tinyBert, writeRows, writeTinyModel } from '../setup/tiny-model.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-few-sample-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)

beforeAll(async () => {
  await writeTinyModel(at('bert'), { ...tinyBert, num_hidden_layers: 3, initializer_range: 0.1 })
  await writeTinyModel(at('llama'))
  const rows = (count: number, labels: readonly unknown[]): unknown[] =>
    Array.from({ length: count }, (_, i) => ({
      input_ids: Array.from({ length: 3 + ((i * 5) % 6) }, (_, t) => 1 + ((i * 7) % 5) + t),
      label: labels[i % labels.length],
    }))
  writeRows(at('rows.jsonl'), rows(20, ['no', 'yes', 'maybe']))
  writeRows(at('held.jsonl'), rows(9, ['no', 'yes', 'maybe']))
  writeRows(at('test.jsonl'), rows(7, ['no', 'yes', 'maybe']))
  writeRows(at('two.jsonl'), rows(12, ['a', 'b']))
  writeRows(at('numbers.jsonl'), rows(12, [0.5, 1.25, 3]))
  writeRows(at('texts.jsonl'), [{ input_ids: [1, 2, 3] }, { input_ids: [4, 5, 6] }])
})

interface Outcome {
  readonly result: TrainResult
  readonly events: readonly TrainEvent[]
  /** Everything said aloud. */
  readonly said: string
}

async function run(options: TrainOptions, leaveAt?: number): Promise<Outcome> {
  const base: TrainOptions = {
    ...{ data: at('rows.jsonl'), samples: 0, batchSize: 4, engine: 'reference', learningRate: 1e-2, warmup: 0 },
    ...(options.adapter === undefined ? { method: 'full' as const } : {}),
    ...{ model: at('bert'), logEvery: 1 },
  }
  const stream = train(options.resume ? options : { ...base, ...options })
  const events: TrainEvent[] = []
  for (;;) {
    const next = await stream.next()
    if (next.done) {
      const said = events.flatMap((event) => (event.type === 'notice' ? [event.message] : [])).join('\n')
      return { result: next.value, events, said }
    }
    events.push(next.value)
    if (next.value.type === 'step' && next.value.step === leaveAt) {
      await stream.return(undefined as never)
      return { result: undefined as never, events, said: '' }
    }
  }
}

const failure = async (options: TrainOptions): Promise<unknown> =>
  await run({ output: at('refused'), steps: 1, ...options }).then(
    () => 'trained',
    (error: unknown) => error,
  )

const modelOf = async (folder: string): Promise<Map<string, HostTensor>> =>
  await readSafetensors(join(folder, 'model.safetensors'))

const lossOf = async (model: string, data: string, adapter?: string): Promise<number> => {
  const named = adapter === undefined ? {} : { adapter: [adapter] }
  return (await evaluate({ model, ...named, data: [data], engine: 'reference' })).loss
}

describe('what is drawn anew', () => {
  const still: TrainOptions = { learningRate: 0, steps: 1, initSeed: 5 }
  it('is the top layers and the pooler, by the seed of new weights alone', async () => {
    const first = await run({ ...still, reinitLayers: 2, reinitPooler: true, output: at('drawn') })
    expect(first.said).toContain('drawn anew before training: the top 2 layers and the pooler (bert.pooler.dense)')
    const [base, drawn] = [await modelOf(at('bert')), await modelOf(at('drawn'))]
    const isTop = (name: string): boolean => /layer\.[12]\.|pooler|classifier/.test(name)
    for (const [name, value] of drawn) {
      const numbers = Array.from(value.data, Number)
      if (!isTop(name)) expect(value.data, name).toEqual(base.get(name)?.data)
      else if (name.endsWith('bias')) expect(new Set(numbers), name).toEqual(new Set([0]))
      else if (name.includes('LayerNorm')) expect(new Set(numbers), name).toEqual(new Set([1]))
      else {
        expect(value.data, name).not.toEqual(base.get(name)?.data)
        const deviation = Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length)
        expect(Math.abs(deviation / 0.1 - 1), name).toBeLessThan(0.3)
      }
    }
    await run({ ...still, reinitLayers: 2, reinitPooler: true, seed: 9, output: at('drawn-again') })
    expect(await modelOf(at('drawn-again'))).toEqual(drawn)
    await run({ ...still, reinitLayers: 2, reinitPooler: true, initSeed: 6, output: at('drawn-else') })
    expect(await modelOf(at('drawn-else'))).not.toEqual(drawn)
  })

  it('is no more than there is', async () => {
    expect(await failure({ reinitLayers: 4 })).toMatchObject({
      code: 'config',
      field: 'reinit-layers',
      message: '--reinit-layers 4: the model has 3 layers',
    })
    expect(await failure({ model: at('llama'), data: at('texts.jsonl'), reinitPooler: true })).toMatchObject({
      code: 'unsupported',
      message: '--reinit-pooler: llama for causal-lm has no pooler',
    })
  })
})

describe('first values', () => {
  it('pull what is trained back to where it was drawn', async () => {
    const far = async (options: TrainOptions, output: string): Promise<number> => {
      await run({ ...options, steps: 12, initSeed: 3, schedule: 'constant', output })
      await run({ ...options, steps: 1, learningRate: 0, initSeed: 3, output: `${output}-start` })
      const [end, start] = [await modelOf(output), await modelOf(`${output}-start`)]
      let sum = 0
      for (const [name, value] of end)
        value.data.forEach((x, i) => {
          sum += (Number(x) - Number(start.get(name)?.data[i])) ** 2
        })
      return Math.sqrt(sum)
    }
    const anew: TrainOptions = { reinitLayers: 1, reinitPooler: true }
    const free = await far(anew, at('free'))
    expect(await far({ ...anew, priorDecay: 60 }, at('pulled'))).toBeLessThan(0.6 * free)
  })
})

describe('a recipe', () => {
  it('sets what nobody gave, and says so', async () => {
    const { said, result, events } = await run({
      ...{ recipe: 'few-sample', evalData: at('held.jsonl'), steps: 20, learningRate: 1e-2 },
      output: at('recipe'),
    })
    expect(said).toContain(
      'recipe few-sample sets reinit-pooler true, reinit-layers 1, optimizer adamw, schedule linear, weight-decay 0, ' +
        'no-decay bias,norm, eval-every 0.1, keep-best true',
    )
    expect(said).toContain('drawn anew before training: the top layer and the pooler')
    const evaluations = events.flatMap((event) => (event.type === 'eval' ? [event] : []))
    expect(evaluations.map(({ step }) => step)).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
    const best = Math.max(...evaluations.map(({ metrics }) => metrics.accuracy ?? 0))
    expect(result.evalMetrics?.accuracy).toBe(best)
    const again = await evaluate({ model: at('recipe'), data: [at('held.jsonl')], engine: 'reference' })
    expect(again.accuracy).toBe(best)
    expect(again.loss).toBeCloseTo(result.evalLoss ?? 0, 6)
    const saved = readFileSync(join(at('recipe'), 'run.yaml'), 'utf8')
    for (const line of ['method: full', 'reinit-layers: 1', 'learning-rate: 0.01', 'steps: 20', 'eval-every: 0.1'])
      expect(saved).toContain(line)
  })

  it('gives way to a method that has no such layers, and to a length in epochs', async () => {
    const { said } = await run({ recipe: 'few-sample', method: 'bitfit', epochs: 0.4, output: at('recipe-bitfit') })
    expect(said).not.toMatch(/reinit-layers|steps/)
    expect(said).toContain('reinit-pooler true')
    expect(said).toContain('there are no rows to evaluate on')
    const lora = await run({ recipe: 'few-sample', method: 'lora', steps: 1, output: at('recipe-lora') })
    expect(lora.said).not.toMatch(/reinit/)
  })

  it('is for classifiers', async () => {
    const options: TrainOptions = { model: at('llama'), data: at('texts.jsonl'), recipe: 'few-sample' }
    expect(await failure(options)).toMatchObject({ code: 'config', field: 'recipe' })
  })
})

describe('rows to test on', () => {
  it('measure the kept weights once, and are logged', async () => {
    const { result, events } = await run({
      ...{ evalData: at('held.jsonl'), testData: at('test.jsonl'), keepBest: true, evalEvery: 1, steps: 6 },
      ...{ learningRate: 0.1, schedule: 'constant', output: at('tested') },
    })
    const tests = events.flatMap((event) => (event.type === 'test' ? [event] : []))
    expect(tests).toHaveLength(1)
    const found = await evaluate({ model: at('tested'), data: [at('test.jsonl')], engine: 'reference' })
    expect(result.testLoss).toBeCloseTo(found.loss, 6)
    expect(result.testMetrics?.accuracy).toBe(found.accuracy)
    const log = readFileSync(join(at('tested'), 'trainer_log.jsonl'), 'utf8')
      .trim()
      .split('\n')
    const line = JSON.parse(log.at(-1) ?? '') as Record<string, number>
    expect(line).toMatchObject({ test_loss: result.testLoss, test_tokens: 7, test_accuracy: found.accuracy })
    expect(line.step).toBe(tests[0]?.step)
    expect(readFileSync(join(at('tested'), 'report.html'), 'utf8')).toContain('Test loss')
  })

  it('are test files of a folder', async () => {
    mkdirSync(at('folder'))
    writeRows(at('folder', 'train.jsonl'), [{ input_ids: [1], label: 'no' }])
    expect(await failure({ testData: at('folder') })).toMatchObject({ code: 'missing', field: 'test-data' })
  })
})

describe('a model trained for other labels', () => {
  it('goes on with a new head', async () => {
    await run({ steps: 4, output: at('three') })
    expect(await failure({ model: at('three'), data: at('two.jsonl') })).toMatchObject({
      code: 'config',
      suggestion: expect.stringContaining('--new-head'),
    })
    const still: TrainOptions = { newHead: true, model: at('three'), learningRate: 0, steps: 1 }
    const two = await run({ ...still, data: at('two.jsonl'), output: at('two') })
    expect(two.said).toContain('a new head for classification of 2 labels: classifier newly initialised')
    const [before, after] = [await modelOf(at('three')), await modelOf(at('two'))]
    for (const [name, value] of before) {
      if (name.startsWith('classifier')) expect(after.get(name)?.shape[0]).toBe(2)
      else expect(after.get(name)?.data, name).toEqual(value.data)
    }
    await run({ ...still, data: at('numbers.jsonl'), learningRate: 1e-2, output: at('numbers') })
    const found = await evaluate({ model: at('numbers'), data: [at('numbers.jsonl')], engine: 'reference' })
    expect(found.spearman).toBeTypeOf('number')
  })

  it.each(['lora', 'houlsby', 'bitfit', 'head'] as const)('takes an adapter with another head: %s', async (method) => {
    const own = method === 'houlsby' ? { bottleneck: 4 } : {}
    const data = at('two.jsonl')
    const onModel = at(`on-${method}`)
    const options: TrainOptions = { model: at('three'), data, evalData: data, newHead: true, steps: 3 }
    const trained = await run({ ...options, method, ...own, output: onModel })
    expect(await lossOf(at('three'), data, onModel)).toBeCloseTo(trained.result.evalLoss ?? 0, 5)
    if (method === 'houlsby') return
    await mergeAdapter({ model: at('three'), adapter: [onModel], output: at(`merged-${method}`) })
    expect(await lossOf(at(`merged-${method}`), data)).toBeCloseTo(trained.result.evalLoss ?? 0, 5)
  })

  it.each(['lora', 'houlsby', 'bitfit', 'head'] as const)('may be an adapter: %s', async (method) => {
    const own = method === 'houlsby' ? { bottleneck: 4 } : {}
    const [first, second] = [at(`first-${method}`), at(`second-${method}`)]
    await run({ method, ...own, steps: 3, output: first })
    const data = at('two.jsonl')
    const { said, result } = await run({
      ...{ adapter: first, data, evalData: data, newHead: true, steps: 3, output: second },
    })
    expect(said).toContain('a new head for classification of 2 labels: classifier newly initialised')
    expect(await lossOf(at('bert'), data, second)).toBeCloseTo(result.evalLoss ?? 0, 5)
  })

  it('has its head by itself where it writes', async () => {
    const options: TrainOptions = { model: at('llama'), data: at('texts.jsonl'), newHead: true }
    expect(await failure(options)).toMatchObject({ code: 'config', field: 'new-head' })
  })
})

describe('options without a meaning', () => {
  it.each<[TrainOptions, RegExp]>([
    [{ method: 'lora', mixout: 0.1 }, /mixout has no meaning with method lora/],
    [{ method: 'head', mixout: 0.1 }, /mixout has no meaning with method head/],
    [{ method: 'lora', priorDecay: 1 }, /priorDecay has no meaning with method lora/],
    [{ method: 'houlsby', reinitLayers: 1 }, /reinitLayers has no meaning with method houlsby/],
    [{ mixoutMask: 'column' }, /mixoutMask has no meaning with mixout 0/],
  ])('are refused: %j', async (options, message) => {
    expect(await failure(options)).toMatchObject({ code: 'usage', message: expect.stringMatching(message) })
  })

  it('are refused where the adapter says so', async () => {
    for (const method of ['bitfit', 'lora'] as const) {
      await run({ method, steps: 1, output: at(`start-${method}`) })
      expect(await failure({ adapter: at(`start-${method}`), mixout: 0.1 })).toMatchObject({
        code: 'usage',
        field: 'mixout',
      })
    }
    expect(await failure({ adapter: at('start-lora'), reinitPooler: true })).toMatchObject({ field: 'reinit-pooler' })
  })
})

const kinds: [string, TrainOptions][] = [
  ['mixout of layers drawn anew', { mixout: 0.3, reinitLayers: 2, reinitPooler: true }],
  ['the paper’s mixout, accumulated', { mixout: 0.2, mixoutMask: 'column', batchSize: 2, gradAccumulation: 2 }],
  ['BERTAdam with both decays by layer', { optimizer: 'bertadam', layerDecay: 0.8, priorDecay: 3, weightDecay: 0.1 }],
  ['the recipe', { recipe: 'few-sample', noDecay: ['norm'], priorDecay: 1, testData: 'TEST' }],
  ['biases pulled back', { method: 'bitfit', priorDecay: 5, reinitPooler: true, layerDecay: 0.9 }],
  ['a new head', { newHead: true, model: 'THREE', data: 'TWO', mixout: 0.1 }],
]

describe.each(kinds)('a run of %s', (name, kind) => {
  it.each([2, 5])('left after step %i goes on as if it had not', async (leaveAt) => {
    const places: Record<string, string> = { TEST: at('test.jsonl'), THREE: at('three'), TWO: at('two.jsonl') }
    const options = Object.fromEntries(
      Object.entries(kind).map(([option, value]) => [option, places[String(value)] ?? value]),
    ) as TrainOptions
    const common: TrainOptions = { steps: 5, evalData: options.data ?? at('held.jsonl'), evalEvery: 2, ...options }
    const [whole, broken] = [at(`${name}-whole-${leaveAt}`), at(`${name}-${leaveAt}`)]
    await run({ ...common, output: whole })
    await run({ ...common, output: broken }, leaveAt)
    expect(readdirSync(broken)).toContain(`checkpoint-${leaveAt}`)
    await run({ output: broken, resume: true })
    const steady = (folder: string): unknown[] =>
      readFileSync(join(folder, 'trainer_log.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, number>)
        .map(({ step, loss, eval_loss, test_loss, grad_norm }) => ({ step, loss, eval_loss, test_loss, grad_norm }))
    expect(steady(broken)).toEqual(steady(whole))
    const weights = (folder: string): Buffer[] =>
      readdirSync(folder)
        .filter((file) => file.endsWith('.safetensors'))
        .map((file) => readFileSync(join(folder, file)))
    expect(weights(broken).length).toBeGreaterThan(0)
    expect(weights(broken)).toEqual(weights(whole))
  })
})
