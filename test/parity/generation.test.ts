/** @file Greedy continuations of every decoder conformance case, by every engine, against transformers + PEFT. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { Generator } from '../../src/infer/generator.ts'
import { sharedPath } from '../setup/shared.ts'
import { openCase } from './case.ts'
import { DECODERS } from './cases.ts'

const folder = process.env.LOWRANK_CASES ?? sharedPath('conformance', 'cases')
const names = folder ? readdirSync(folder).filter((name) => DECODERS.test(name)) : []
const engines: Engine[] = [referenceEngine(), onnxruntimeEngine()]

afterAll(async () => {
  for (const engine of engines) await engine.dispose()
})

describe.skipIf(names.length === 0).each(engines)('greedy continuation on $name', (engine) => {
  it.each(names)('%s', async (name) => {
    const c = await openCase(join(folder ?? '', name))
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
