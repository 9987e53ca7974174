/** @file Generation in batches, by every engine: rows are what they are alone, adapters act on their rows only. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { readSafetensors, writeSafetensors } from '../../src/formats/tensor-files.ts'
import { Generator } from '../../src/infer/generator.ts'
import type { LoadedAdapter } from '../../src/infer/loaded-adapter.ts'
import type { GenerationRequest } from '../../src/infer/request.ts'
import { asF32, storeLike } from '../../src/peft/low-rank-update.ts'
import { openModel } from '../../src/run/open-model.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { loadTokenizer } from '../../src/text/load-tokenizer.ts'
import { sharedPath } from '../setup/shared.ts'
import { openCase } from './case.ts'

const cases = process.env.LOWRANK_CASES ?? sharedPath('conformance', 'cases')
const stories = sharedPath('data', 'models', 'stories260K')
const engines: Engine[] = [referenceEngine(), onnxruntimeEngine()]

afterAll(async () => {
  for (const engine of engines) await engine.dispose()
})

describe.skipIf(stories === undefined).each(engines)('a trained model on $name', (engine) => {
  const folder = stories ?? ''
  const golden = (): { greedy_ids_from_bos: number[]; prompt_ids: number[]; prompt: string } =>
    JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8'))

  async function open(): Promise<{ generator: Generator; tokenizer: Awaited<ReturnType<typeof loadTokenizer>> }> {
    const { model, weights } = await openModel(folder)
    const tokenizer = await loadTokenizer(folder)
    return { generator: new Generator({ engine, model, weights, tokenizer, eosIds: [1, 2] }), tokenizer }
  }

  it('tells its golden story token for token', async () => {
    const { generator, tokenizer } = await open()
    const [bos = 1, ...story] = golden().greedy_ids_from_bos
    const request = { ids: [bos], maxTokens: story.length, ignoreEos: true }
    const pieces: string[] = []
    const stream = generator.stream([request])
    let next = await stream.next()
    for (; !next.done; next = await stream.next()) pieces.push(next.value.text)
    const [result] = next.value
    expect(result?.ids).toEqual(story)
    expect(result?.text).toBe(tokenizer.decode(story))
    expect(pieces.join('')).toBe(result?.text)
    expect(pieces.length).toBeGreaterThan(100)
    expect(result?.tokensPerSecond).toBeGreaterThan(0)
    await generator.dispose()
  }, 60_000)

  it('gives each row of a batch of unlike lengths and settings what it gives alone', async () => {
    const { generator, tokenizer } = await open()
    const sampling = { temperature: 0.8, topP: 0.9, seed: 11 }
    const requests: GenerationRequest[] = [
      { ids: tokenizer.encode('Once upon a time'), maxTokens: 20, sampling },
      { ids: [1], maxTokens: 5 },
      { ids: tokenizer.encode(golden().prompt), maxTokens: 12, sampling: { temperature: 1, topK: 20, seed: 3 } },
      { ids: tokenizer.encode('The dog'), maxTokens: 30, sampling: { repetitionPenalty: 1.3 }, stop: ['. '] },
    ]
    const together = await generator.run(requests)
    for (const [i, request] of requests.entries()) {
      const [alone] = await generator.run([request])
      expect(together[i]?.ids, `row ${i}`).toEqual(alone?.ids)
      expect(together[i]?.text).toBe(alone?.text)
      expect(together[i]?.finishReason).toBe(alone?.finishReason)
    }
    expect(together[3]).toMatchObject({ finishReason: 'stop' })
    expect(together[3]?.text).not.toContain('. ')
    expect(together[1]?.ids.length).toBe(5)
    await generator.dispose()
    const { model, weights } = await openModel(folder)
    const chunked = new Generator({ engine, model, weights, tokenizer, eosIds: [1, 2], promptChunk: 7, batchSize: 3 })
    expect((await chunked.run(requests)).map(({ ids }) => ids)).toEqual(together.map(({ ids }) => ids))
    await chunked.dispose()
  }, 60_000)

  it('stops at tokens that end a text, and at the longest sample the model knows', async () => {
    const { generator } = await open()
    const { prompt_ids } = golden()
    const [first] = await generator.run([{ ids: prompt_ids, maxTokens: 3, ignoreEos: true }])
    const { model, weights } = await openModel(folder)
    const ending = first?.ids[1] ?? -1
    const strict = new Generator({ engine, model, weights, eosIds: [ending] })
    const [stopped] = await strict.run([{ ids: prompt_ids, maxTokens: 50 }])
    expect(stopped).toMatchObject({
      finishReason: 'stop',
      ids: first?.ids.slice(0, (first?.ids.indexOf(ending) ?? 0) + 1),
    })
    await strict.dispose()
    if (engine.name === 'reference') return await generator.dispose() // 512 tokens take it 10 s
    const long = Array.from({ length: model.config.maxPositions - 2 }, (_, i) => prompt_ids[i % 30] ?? 1)
    const [full] = await generator.run([{ ids: long, maxTokens: 10, ignoreEos: true }])
    expect(full).toMatchObject({ finishReason: 'length' })
    expect(full?.ids.length).toBe(2)
    await generator.dispose()
  }, 60_000)

  it('refuses what it cannot do, and stops when it is told to', async () => {
    const { generator } = await open()
    const run = (request: GenerationRequest): Promise<unknown> => generator.run([request])
    await expect(run({ ids: [], maxTokens: 1 })).rejects.toMatchObject({ code: 'usage' })
    await expect(run({ ids: [512], maxTokens: 1 })).rejects.toMatchObject({ code: 'data', message: /512.*0 to 511/ })
    await expect(run({ ids: new Array<number>(512).fill(1), maxTokens: 1 })).rejects.toThrow(/longest sample 512/)
    await expect(run({ ids: [1], maxTokens: 1, adapters: [{ name: 'x' }] })).rejects.toThrow(/no adapter is named x/)
    const controller = new AbortController()
    const stream = generator.stream([{ ids: [1], maxTokens: 400, ignoreEos: true }], { signal: controller.signal })
    await stream.next()
    controller.abort()
    const rest = async (): Promise<void> => {
      while (!(await stream.next()).done);
    }
    await expect(rest()).rejects.toMatchObject({ code: 'stopped' })
    const [after] = await generator.run([{ ids: [1], maxTokens: 2 }]) // another call has its turn
    expect(after?.ids.length).toBe(2)
    await generator.dispose()
  }, 60_000)
})

/** The same adapter with other numbers. */
function scaled(adapter: LoadedAdapter, name: string, factor: number): LoadedAdapter {
  const change = (value: HostTensor): HostTensor =>
    value.dtype === 'f32' ? { ...value, data: value.data.map((x) => factor * x) } : value
  return { ...adapter, name, values: new Map([...adapter.values].map(([id, value]) => [id, change(value)])) }
}

describe.skipIf(cases === undefined).each(engines)('adapters by row on $name', (engine) => {
  async function open(name: string, change: (adapter: LoadedAdapter) => LoadedAdapter[]) {
    const c = await openCase(join(cases ?? '', name))
    const { model, layout } = c.trained
    const adapters = change({ name: 'first', layout, values: c.start, base: new Map() })
    const request = { ids: c.golden.prompt_ids, maxTokens: 12, ignoreEos: true }
    return { c, request, generator: new Generator({ engine, model, weights: c.weights, adapters }) }
  }

  it.each(['llama', 'llama-embedding', 'gpt2', 'llama-lora-bias'])(
    'a mixed batch is its rows alone: %s',
    async (name) => {
      const { c, request, generator } = await open(name, (first) => [first, scaled(first, 'second', -1.5)])
      const uses = [
        [],
        [{ name: 'first' }],
        [{ name: 'second' }],
        [
          { name: 'first', weight: 0.5 },
          { name: 'second', weight: 0.25 },
        ],
        [{ name: 'first', weight: 0 }],
      ]
      const requests = uses.map((adapters) => ({ ...request, adapters }))
      const together = await generator.run([...requests.slice(1), ...requests.slice(0, 1)])
      for (const [i, alone] of [...requests.slice(1), ...requests.slice(0, 1)].entries())
        expect(together[i]?.ids, `row ${i}`).toEqual((await generator.run([alone]))[0]?.ids)
      expect(together[0]?.ids).toEqual(c.golden.greedy_ids.slice(0, 12))
      expect(together[3]?.ids).toEqual(together[4]?.ids) // weight 0 is the base
      expect(together[1]?.ids).not.toEqual(together[0]?.ids)
      await generator.dispose()
    },
  )

  it.each([
    ['llama-dora', /DoRA/],
    ['llama-modules-to-save', /modules_to_save/],
    ['llama-tokens', /trainable_token_indices/],
  ])('%s acts in full, in batches of its own', async (name, why) => {
    const { c, request, generator } = await open(name, (first) => [first, { ...first, name: 'twin' }])
    const whole = { ...request, adapters: [{ name: 'first' }] }
    const [base, adapted, again] = await generator.run([request, whole, request])
    expect(adapted?.ids).toEqual(c.golden.greedy_ids.slice(0, 12))
    expect(again?.ids).toEqual(base?.ids)
    const half = { ...request, adapters: [{ name: 'first', weight: 0.5 }] }
    await expect(generator.run([half])).rejects.toMatchObject({ code: 'usage', field: 'first', message: why })
    const both = { ...request, adapters: [{ name: 'first' }, { name: 'twin' }] }
    await expect(generator.run([both])).rejects.toThrow(/together with others/)
    await generator.dispose()
  })
})

describe.skipIf(stories === undefined)('a base in half precision', () => {
  const work = mkdtempSync(join(tmpdir(), 'lowrank-halves-'))
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  it.each(['bf16', 'f16'] as const)('tells the same story with either engine from %s', async (dtype) => {
    const folder = join(work, dtype)
    mkdirSync(folder)
    copyFileSync(join(stories ?? '', 'config.json'), join(folder, 'config.json'))
    const tensors = await readSafetensors(join(stories ?? '', 'model.safetensors'))
    const stored = [...tensors].map(
      ([name, t]) => [name, storeLike({ dtype, shape: t.shape }, asF32(t, name))] as const,
    )
    await writeSafetensors(join(folder, 'model.safetensors'), new Map(stored))
    const { model, weights } = await openModel(folder)
    const told: (readonly number[] | undefined)[] = []
    for (const engine of engines) {
      const generator = new Generator({ engine, model, weights })
      told.push((await generator.run([{ ids: [1], maxTokens: 40 }]))[0]?.ids)
      await generator.dispose()
    }
    expect(told[0]).toEqual(told[1])
    expect(told[0]?.length).toBe(40)
  })
})
