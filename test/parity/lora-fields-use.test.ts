/**
 * @file Adapters with fields beyond plain LoRA, as PEFT wrote them: evaluated and merged by the verbs, and the merged
 * folders opened by transformers where a Python with it is found (LOWRANK_PYTHON names it).
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { evaluate } from '../../src/run/evaluate.ts'
import { loadModel } from '../../src/run/load-model.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { pythonWith } from '../setup/python.ts'
import { TORCH } from '../tolerances.ts'

const fields = fileURLToPath(new URL('../goldens/lora-fields', import.meta.url))
const work = mkdtempSync(join(tmpdir(), 'lowrank-fields-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

const of = (name: string) => ({ model: join(fields, name, 'model'), adapter: [join(fields, name, 'adapter')] })
const rows = (name: string): string => join(fields, name, 'train.jsonl')
const golden = (name: string): { eval_loss_adapter: number; eval_tokens: number } =>
  JSON.parse(readFileSync(join(fields, name, 'golden.json'), 'utf8'))
const config = (folder: string) => JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))

/** Adapters that can be merged, and whether head and embedding are one afterwards. */
const MERGED = [
  ['parameters', false],
  ['parameters-besides', false],
  ['replicated', false],
  ['tied-targets', true],
  ['tied-saved', true],
  ['tied-tokens', true],
] as const

describe('adapters with other fields', () => {
  it.each(MERGED)('%s: the same loss with the adapter and merged', async (name) => {
    const output = join(work, name)
    await mergeAdapter({ ...of(name), output })
    const wanted = golden(name)
    const [beside, merged] = [
      await evaluate({ ...of(name), data: [rows(name)] }),
      await evaluate({ model: output, data: [rows(name)] }),
    ]
    expect(beside.tokens).toBe(wanted.eval_tokens)
    expect(Math.abs(beside.loss - wanted.eval_loss_adapter)).toBeLessThan(TORCH.loss)
    expect(Math.abs(merged.loss - wanted.eval_loss_adapter)).toBeLessThan(TORCH.merged)
  })

  it('replicated: the merged folder is a plain model with a layer a copy', () => {
    expect(config(of('replicated').model).num_hidden_layers).toBe(2)
    expect(config(join(work, 'replicated')).num_hidden_layers).toBe(5)
  })

  it.each(['alora', 'alora-head'])('%s: the same loss with the adapter; never merged', async (name) => {
    const { loss } = await evaluate({ ...of(name), data: [rows(name)] })
    expect(Math.abs(loss - golden(name).eval_loss_adapter)).toBeLessThan(TORCH.loss)
    await expect(mergeAdapter({ ...of(name), output: join(work, 'never') })).rejects.toMatchObject({
      code: 'unsupported',
      field: 'alora_invocation_tokens',
    })
  })

  it('replicated: other adapters cannot share its base', async () => {
    const { model, adapter } = of('replicated')
    const plain = join(fields, 'parameters-besides', 'adapter')
    const both = { model, adapter: [`a=${adapter[0]}`, `b=${plain}`], data: [rows('replicated')] }
    await expect(evaluate(both)).rejects.toThrow(/layer_replication: adapters a and b rebuild the layers differently/)
    await using open = await loadModel({ model })
    await expect(open.attachAdapter({ path: adapter[0] ?? '' })).rejects.toMatchObject({ field: 'layer_replication' })
  })
})

const python = pythonWith('transformers', 'torch')

describe.skipIf(!python)('merged folders in transformers', () => {
  it('open without a warning, with the same loss and ties', () => {
    const script = fileURLToPath(new URL('../../scripts/goldens/merged_open.py', import.meta.url))
    const folders = MERGED.flatMap(([name]) => [rows(name), join(work, name)])
    const lines = execFileSync(python ?? '', [script, ...folders], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const [i, line] of lines.trim().split('\n').entries()) {
      const [name, tied] = MERGED[i] ?? ['', false]
      const found = JSON.parse(line)
      expect(found, name).toMatchObject({ warnings: [], missing: [], unexpected: [], tied })
      expect(Math.abs(found.loss - golden(name).eval_loss_adapter), name).toBeLessThan(TORCH.merged)
    }
  }, 600_000)
})
