/** @file Adapters and bases in torch's own files do everywhere what the same tensors do in safetensors. */
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { evaluate } from '../../src/run/evaluate.ts'
import { generate } from '../../src/run/generate.ts'
import { inspect } from '../../src/run/inspect.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { train } from '../../src/run/train.ts'

const goldens = fileURLToPath(new URL('../goldens', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'lowrank-bin-'))
const at = (...parts: string[]): string => join(folder, ...parts)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

cpSync(join(goldens, 'models/llama'), at('new'), { recursive: true })
cpSync(join(goldens, 'models/llama'), at('old'), { recursive: true })
rmSync(at('old/adapter/adapter_model.safetensors'))
rmSync(at('old/model/model.safetensors'))
copyFileSync(join(goldens, 'torch/llama-adapter.bin'), at('old/adapter/adapter_model.bin'))
copyFileSync(join(goldens, 'torch/llama-model-legacy.bin'), at('old/model/pytorch_model.bin'))

const data = [at('new/train.jsonl')]
const of = (which: string): { model: string; adapter: string[] } => ({
  model: at(which, 'model'),
  adapter: [at(which, 'adapter')],
})

describe('torch folders', () => {
  it.each(['onnxruntime', 'reference'] as const)('evaluate on %s', async (engine) => {
    const [before, after] = [
      await evaluate({ ...of('new'), data, engine }),
      await evaluate({ ...of('old'), data, engine }),
    ]
    expect(after).toEqual(before)
    const bare = await evaluate({ model: at('old/model'), data, engine })
    expect(bare.loss).not.toBe(after.loss)
  })

  it('generate', async () => {
    const ids = async (which: string): Promise<number[]> => {
      const events = generate({ ...of(which), ids: [3, 4, 5], maxTokens: 6, ignoreEos: true })
      for (;;) {
        const next = await events.next()
        if (next.done) return next.value.ids
      }
    }
    expect(await ids('old')).toEqual(await ids('new'))
  })

  it('merge, into safetensors', async () => {
    for (const which of ['new', 'old']) await mergeAdapter({ ...of(which), output: at(which, 'merged') })
    const read = (which: string): Buffer => readFileSync(at(which, 'merged/model.safetensors'))
    expect(read('old').equals(read('new'))).toBe(true)
  })

  it('train goes on from the adapter', async () => {
    for (const which of ['new', 'old']) {
      const output = at(which, 'run')
      const options = { model: at(which, 'model'), adapter: at(which, 'adapter'), data, output, steps: 2, batchSize: 2 }
      for await (const _ of train({ ...options, engine: 'reference' }));
    }
    const read = (which: string): Buffer => readFileSync(at(which, 'run/adapter_model.safetensors'))
    expect(read('old').equals(read('new'))).toBe(true)
  })

  it('inspect', async () => {
    for (const part of ['adapter', 'model']) {
      const [before, after] = [await inspect(at('new', part)), await inspect(at('old', part))]
      expect({ ...after, path: '' }).toEqual({
        ...before,
        path: '',
        ...(after.metadata ? { metadata: after.metadata } : {}),
      })
    }
  })
})
