/** @file Every decoder conformance case, against both engines: logits, loss, gradients, twenty AdamW steps. */
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { sharedPath } from '../setup/shared.ts'
import { openCase } from './case.ts'
import { DECODERS } from './cases.ts'
import { checkEvaluation, checkGradients, checkLogits, checkTraining } from './checks.ts'

/** Our own goldens (scripts/goldens/models.py), and the cases that lie beside the repository where they do. */
const committed = fileURLToPath(new URL('../goldens/models', import.meta.url))
const beside = process.env.LOWRANK_CASES ?? sharedPath('conformance', 'cases')
const cases = [committed, ...(beside ? [beside] : [])].flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => DECODERS.test(name))
    .map((name) => ({ name: `${name} of ${basename(folder)}`, folder: join(folder, name) })),
)
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
