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
})
