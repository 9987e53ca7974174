/** @file Greedy continuations of every decoder conformance case, by every engine, against transformers + PEFT. */
import { afterAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { Generator } from '../../src/infer/generator.ts'
import { openCase } from './case.ts'
import { casesNamed, DECODERS } from './cases.ts'

const cases = casesNamed(DECODERS)
const engines: Engine[] = [referenceEngine(), onnxruntimeEngine()]

afterAll(async () => {
  for (const engine of engines) await engine.dispose()
})

describe.each(engines)('greedy continuation on $name', (engine) => {
  it.each(cases)('$name', async ({ folder }) => {
    const c = await openCase(folder)
    const { model, layout } = c.trained
    const adapter = { name: 'golden', layout, values: c.start, base: new Map() }
    const generator = new Generator({ engine, model, weights: c.weights, adapters: [adapter] })
    const request = { ids: c.golden.prompt_ids, maxTokens: c.golden.greedy_ids.length, adapters: [{ name: 'golden' }] }
    const [result] = await generator.run([request])
    expect(result?.ids).toEqual(c.golden.greedy_ids)
    expect(result?.finishReason).toBe('length')
    await generator.dispose()
  })

  it.each(cases.filter(({ name }) => /^phi3-longrope of models/.test(name)))(
    '$name: rows that cross from short to long factors, each as if alone',
    async ({ folder }) => {
      const c = await openCase(folder)
      const { model, layout } = c.trained
      const adapters = [{ name: 'golden', layout, values: c.start, base: new Map() }]
      const wanted = c.golden.generations ?? []
      const { longFrom = 0 } = model.config
      const crossing = wanted.filter(
        ({ prompt, ids }) => prompt.length <= longFrom && prompt.length + ids.length > longFrom,
      )
      expect([crossing.length, wanted.length]).toEqual([4, 6])
      const requests = wanted.map(({ prompt, ids }) => ({
        ids: prompt,
        maxTokens: ids.length,
        adapters: [{ name: 'golden' }],
      }))
      for (const [batchSize, promptChunk] of [
        [8, 512],
        [8, 2],
        [3, 7],
        [1, 512],
      ]) {
        const generator = new Generator({ engine, model, weights: c.weights, adapters, batchSize, promptChunk })
        const found = await generator.run(requests)
        expect(found.map(({ ids }) => ids)).toEqual(wanted.map(({ ids }) => ids))
        await generator.dispose()
      }
    },
  )
})
