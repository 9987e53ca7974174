/** @file A run that its reader leaves at any step goes on as if it had not: for every kind of run, on a tiny model. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TrainOptions, train } from '../../src/run/train.ts'
import { tinyGpt2, writeRows, writeTinyModel } from '../setup/tiny-model.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-resume-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)
const STEPS = 5

beforeAll(async () => {
  await writeTinyModel(at('llama'))
  await writeTinyModel(at('gpt2'), { ...tinyGpt2, attn_pdrop: 0.1, resid_pdrop: 0.1, embd_pdrop: 0.1 })
  const rows = (count: number): unknown[] =>
    Array.from({ length: count }, (_, i) => ({ input_ids: Array.from({ length: 3 + ((i * 5) % 6) }, (_, t) => i + t) }))
  writeRows(at('rows.jsonl'), rows(9))
  writeRows(at('held.jsonl'), rows(3))
})

const kinds: [name: string, options: TrainOptions][] = [
  ['LoRA in shuffled epochs', { model: at('llama'), dropout: 0.1, batchSize: 4 }],
  [
    'DoRA with biases and accumulation',
    { model: at('gpt2'), dora: true, bias: 'all', gradAccumulation: 2, batchSize: 2 },
  ],
  ['SGD with the head besides', { model: at('llama'), optimizer: 'sgd', modulesToSave: ['lm_head'], recompute: 'on' }],
  ['PiSSA', { model: at('llama'), init: 'pissa', rank: 2, batchSize: 4 }],
  ['EVA in its own form', { model: at('llama'), init: 'eva', initForm: 'peft', rank: 2, batchSize: 4 }],
  ['every weight', { model: at('llama'), method: 'full', packing: true, maxLength: 20, batchSize: 1 }],
  ['a new model', { fromConfig: at('llama', 'config.json'), method: 'full', batchSize: 3, weightDecay: 0.1 }],
  ['the best weights', { model: at('llama'), keepBest: true, learningRate: 0.3, schedule: 'constant', keep: 1 }],
]

/** Trains; leaves after the step `leaveAt`, if there is one. */
async function run(options: TrainOptions, leaveAt?: number): Promise<void> {
  for await (const event of train(options)) if (event.type === 'step' && event.step === leaveAt) break
}

/** The weights a run left, and its log without what the clock says. */
function outcome(output: string): { weights: string; log: unknown[]; files: string[] } {
  const files = readdirSync(output).sort()
  const weights = files.find((name) => name.endsWith('.safetensors')) ?? ''
  const log = readFileSync(join(output, 'trainer_log.jsonl'), 'utf8').trim().split('\n')
  const steady = log.map((line) => {
    const { step, epoch, loss, learning_rate, grad_norm, tokens, eval_loss } = JSON.parse(line) as Record<
      string,
      number
    >
    return { step, epoch, loss, learning_rate, grad_norm, tokens, eval_loss }
  })
  return { weights: readFileSync(join(output, weights), 'base64'), log: steady, files }
}

describe.each(kinds)('a run of %s', (name, options) => {
  it.each([2, 4, STEPS])('left after step %i', async (leaveAt) => {
    const whole = at(`${name}-whole`)
    const common: TrainOptions = {
      data: at('rows.jsonl'),
      evalData: at('held.jsonl'),
      steps: STEPS,
      samples: 0,
      ...options,
    }
    const rest: TrainOptions = { engine: 'reference', logEvery: 1, evalEvery: 2, saveEvery: 3, ...common }
    if (leaveAt === 2) await run({ learningRate: 1e-2, warmup: 0, ...rest, output: whole })
    const broken = at(`${name}-${leaveAt}`)
    await run({ learningRate: 1e-2, warmup: 0, ...rest, output: broken }, leaveAt)
    expect(readdirSync(broken)).toContain(`checkpoint-${leaveAt}`)
    await run({ output: broken, resume: true })
    const [got, want] = [outcome(broken), outcome(whole)]
    expect(got.log).toEqual(want.log)
    expect(got.weights === want.weights, 'weights differ').toBe(true)
  })
})
