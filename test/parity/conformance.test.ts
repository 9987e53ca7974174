/** @file Every conformance case, against both engines: logits, loss, gradients, twenty AdamW steps. */
import { afterAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { openCase } from './case.ts'
import { casesNamed, DECODERS, ENCODERS } from './cases.ts'
import { checkEvaluation, checkGradients, checkLogits, checkTraining } from './checks.ts'

const cases = [...casesNamed(DECODERS), ...casesNamed(ENCODERS)]
const engines: Engine[] = [referenceEngine(), onnxruntimeEngine()]

afterAll(async () => {
  for (const engine of engines) await engine.dispose()
})

describe.each(engines)('conformance on $name', (engine) => {
  it.each(cases)('$name', async ({ folder }) => {
    const c = await openCase(folder)
    expect(c.trained.groups.reduce((n, g) => n + g.size, 0)).toBe(c.golden.trainable)
    await checkLogits(engine, c)
    await checkEvaluation(engine, c)
    await checkGradients(engine, c)
    await checkTraining(engine, c)
  })
})
