/** @file Verbs on every conformance case as its user runs them: evaluate, merge, open the merged folder anew. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { prepare } from '../../src/engine/prepare.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { openModel } from '../../src/run/open-model.ts'
import { buildLogits } from '../../src/train/step-graph.ts'
import { pythonWith } from '../setup/python.ts'
import { sharedPath } from '../setup/shared.ts'
import { TORCH } from '../tolerances.ts'
import { type Golden, logitError, logitFeeds, required } from './case.ts'
import { DECODERS, ENCODERS } from './cases.ts'

const folder = process.env.LOWRANK_CASES ?? sharedPath('conformance', 'cases')
const names = folder ? readdirSync(folder).filter((name) => DECODERS.test(name) || ENCODERS.test(name)) : []
const temporary = mkdtempSync(join(tmpdir(), 'lowrank-use-'))
const engines = ['reference', 'onnxruntime'] as const

afterAll(() => rmSync(temporary, { recursive: true, force: true }))

describe.skipIf(names.length === 0).each(engines)('use on %s', (engine) => {
  describe.each(names)('%s', (name) => {
    const path = (...parts: string[]): string => join(folder ?? '', name, ...parts)
    const golden = (): Golden => JSON.parse(readFileSync(path('golden.json'), 'utf8'))
    const [model, adapter] = [path('model'), [path('adapter')]]

    it('evaluates to PEFT’s loss, and to the mean of its rows’', async () => {
      const { eval_loss_adapter, eval_tokens } = golden()
      const data = [path('train.jsonl')]
      const found = await evaluate({ model, adapter, data, engine, perExample: true })
      expect(Math.abs(found.loss - eval_loss_adapter)).toBeLessThan(TORCH.loss)
      expect(found.tokens).toBe(eval_tokens)
      expect(found.perplexity).toBeCloseTo(Math.exp(found.loss), 6)
      const rows = readFileSync(path('train.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).labels)
      // A whole text has one label.
      const counts = rows.map((labels?: number[]) => labels?.filter((label, t) => t > 0 && label !== -100).length ?? 1)
      const sum = required(found.losses, 'losses').reduce((total, loss, i) => total + loss * (counts[i] ?? 0), 0)
      expect(found.losses?.length).toBe(found.examples)
      expect(sum / found.tokens).toBeCloseTo(found.loss, 5)
    })
  })
})

describe.skipIf(names.length === 0)('merged', () => {
  it.each(names)('%s is PEFT’s merged model, opened anew', async (name) => {
    const path = (...parts: string[]): string => join(folder ?? '', name, ...parts)
    const golden: Golden = JSON.parse(readFileSync(path('golden.json'), 'utf8'))
    const output = join(temporary, name)
    await mergeAdapter({ model: path('model'), adapter: [path('adapter')], output })
    const logits = required((await readSafetensors(path('golden.safetensors'))).get('logits_merged'), 'logits')
    expect(logitError(golden, logits, await logitsOf(output, golden))).toBeLessThan(TORCH.merged)
  })
})

const python = pythonWith('torch', 'transformers')

describe.skipIf(names.length === 0 || !python)('merged folders in real transformers', () => {
  it('open without a warning and have the loss of base and adapter', async () => {
    const script = new URL('../../scripts/goldens/merged_open.py', import.meta.url).pathname
    const path = (name: string, ...parts: string[]): string => join(folder ?? '', name, ...parts)
    const output = (name: string): string => join(temporary, `transformers-${name}`)
    for (const name of names)
      await mergeAdapter({ model: path(name, 'model'), adapter: [path(name, 'adapter')], output: output(name) })
    const pairs = names.flatMap((name) => [path(name, 'train.jsonl'), output(name)])
    const said = execFileSync(python ?? '', [script, ...pairs], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    const lines = said.trim().split('\n')
    expect(lines.length).toBe(names.length)
    for (const [i, line] of lines.entries()) {
      const { loss, warnings, missing, unexpected } = JSON.parse(line)
      expect({ warnings, missing, unexpected }, names[i]).toEqual({ warnings: [], missing: [], unexpected: [] })
      const golden: Golden = JSON.parse(readFileSync(path(names[i] ?? '', 'golden.json'), 'utf8'))
      expect(Math.abs(loss - golden.eval_loss_adapter), names[i]).toBeLessThan(TORCH.loss)
    }
  }, 900_000)
})

async function logitsOf(folder: string, golden: Golden) {
  const { model, weights } = await openModel(folder)
  const nothing = { layout: { sites: [], tensors: [], tokens: [] }, groups: [], dropout: 0, followsTies: false }
  const engine = referenceEngine()
  const executable = await engine.compile(prepare(buildLogits({ model, ...nothing }), engine.composites), { weights })
  const { logits } = await executable.run(logitFeeds(golden, model))
  await executable.dispose()
  return required(logits, 'logits')
}
