/** @file Whole runs: a conformance case trained through `train()`, stopped, resumed, finished. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import type { TrainOptions } from '../../src/run/train.ts'
import { train } from '../../src/run/train.ts'
import type { TrainEvent, TrainResult } from '../../src/run/types.ts'
import { sharedPath } from '../setup/shared.ts'
import { TORCH } from '../tolerances.ts'

const llama = sharedPath('conformance', 'cases', 'llama')

function options(output: string): TrainOptions {
  return {
    model: join(llama ?? '', 'model'),
    adapter: join(llama ?? '', 'adapter'),
    data: join(llama ?? '', 'train.jsonl'),
    output,
    batchSize: 2,
    steps: 20,
    learningRate: 1e-3,
    schedule: 'linear',
    warmup: 0,
    weightDecay: 0.01,
    shuffle: false,
    engine: 'reference',
    logEvery: 1,
  }
}

const freshFolder = (): string => join(mkdtempSync(join(tmpdir(), 'lowrank-train-')), 'run')

async function collect(
  events: AsyncGenerator<TrainEvent, TrainResult>,
): Promise<{ events: TrainEvent[]; result: TrainResult }> {
  const seen: TrainEvent[] = []
  for (;;) {
    const next = await events.next()
    if (next.done) return { events: seen, result: next.value }
    seen.push(next.value)
  }
}

const weightsOf = (output: string): Buffer => readFileSync(join(output, 'adapter_model.safetensors'))

describe.skipIf(!llama)('train()', () => {
  it('gives the losses and the adapter that PEFT and torch give', async () => {
    const output = freshFolder()
    const { events, result } = await collect(train(options(output)))
    const golden = JSON.parse(readFileSync(join(llama ?? '', 'golden.json'), 'utf8')) as {
      losses: number[]
      trainable: number
    }
    const losses = events.flatMap((e) => (e.type === 'step' ? [e.loss] : []))
    expect(losses.length).toBe(20)
    for (const [i, loss] of losses.entries()) expect(Math.abs(loss - (golden.losses[i] ?? 0))).toBeLessThan(TORCH.loss)
    expect(result.trainable).toBe(golden.trainable)
    const trained = await readSafetensors(join(output, 'adapter_model.safetensors'))
    const expected = await readSafetensors(join(llama ?? '', 'golden.safetensors'))
    for (const [key, value] of trained) {
      const want = expected.get(`trained.${key}`)
      expect(want, key).toBeDefined()
      for (const [i, x] of [...value.data].entries())
        expect(Math.abs(Number(x) - Number(want?.data[i]))).toBeLessThan(TORCH.loss)
    }
    const log = readFileSync(join(output, 'trainer_log.jsonl'), 'utf8').trim().split('\n')
    expect(log.length).toBe(20)
    expect(JSON.parse(log[19] ?? '')).toMatchObject({ step: 20, total_steps: 20 })
  })

  it('goes on bit for bit after being left in the middle', async () => {
    const [whole, broken] = [freshFolder(), freshFolder()]
    const { result } = await collect(train(options(whole)))
    expect(result.steps).toBe(20)
    for await (const event of train(options(broken))) if (event.type === 'step' && event.step === 7) break
    const { events } = await collect(train({ output: broken, resume: true }))
    expect(events.find((e) => e.type === 'resume')).toMatchObject({ step: 7 })
    expect(weightsOf(broken).equals(weightsOf(whole))).toBe(true)
    const lines = (folder: string): unknown[] =>
      readFileSync(join(folder, 'trainer_log.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => {
          const { step, loss, grad_norm, learning_rate, tokens } = JSON.parse(line) as Record<string, number>
          return { step, loss, grad_norm, learning_rate, tokens }
        })
    expect(lines(broken)).toEqual(lines(whole))
    const again = await collect(train({ output: broken, resume: true }))
    expect(again.result.steps).toBe(20)
    await expect(collect(train({ output: broken, resume: true, learningRate: 1 }))).rejects.toThrow(/learning-rate/)
    await expect(collect(train(options(broken)))).rejects.toThrow(/holds files/)
  })

  it('saves when its signal is aborted', async () => {
    const output = freshFolder()
    const controller = new AbortController()
    const events: TrainEvent[] = []
    for await (const event of train({ ...options(output), signal: controller.signal })) {
      events.push(event)
      if (event.type === 'step' && event.step === 3) controller.abort()
    }
    expect(events.at(-1)).toMatchObject({ type: 'done', result: { steps: 3, stopped: true } })
    expect(events.find((e) => e.type === 'checkpoint')).toMatchObject({ step: 3 })
  })
})
