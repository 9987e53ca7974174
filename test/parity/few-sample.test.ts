/**
 * @file Options of few-sample fine-tuning against a torch implementation (scripts/goldens/few_sample.py), from options to
 * the model folder that a run writes, on both engines.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { poolerOf, topLayers } from '../../src/models/reinit.ts'
import { openConfig } from '../../src/run/open-model.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { TORCH } from '../tolerances.ts'

interface Case {
  readonly losses: number[]
  readonly grad_norms: number[]
  readonly no_gradient: string[]
}

const root = fileURLToPath(new URL('../goldens/few-sample', import.meta.url))
const golden = JSON.parse(readFileSync(join(root, 'golden.json'), 'utf8')) as {
  readonly seed: number
  readonly redrawn: Readonly<Record<string, string[]>>
  readonly cases: Readonly<Record<string, Case>>
}
const lab = mkdtempSync(join(tmpdir(), 'lowrank-few-sample-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))

/** The same model with dropout in its config, which mixout takes the place of. */
const dropping = join(lab, 'model')
beforeAll(() => {
  cpSync(join(root, 'model'), dropping, { recursive: true })
  const config = JSON.parse(readFileSync(join(dropping, 'config.json'), 'utf8')) as Record<string, unknown>
  const rates = { hidden_dropout_prob: 0.4, attention_probs_dropout_prob: 0.4 }
  writeFileSync(join(dropping, 'config.json'), JSON.stringify({ ...config, ...rates }))
})

const spared: TrainOptions = { noDecay: ['bias', 'norm'] }
const cases: Readonly<Record<string, TrainOptions>> = {
  bertadam: { optimizer: 'bertadam', ...spared },
  'layer-decay': { layerDecay: 0.7, ...spared },
  'prior-decay': { priorDecay: 20, ...spared },
  mixout: { mixout: 0.3, model: dropping },
  'mixout-column': { mixout: 0.3, mixoutMask: 'column', model: dropping },
  together: { optimizer: 'bertadam', layerDecay: 0.8, priorDecay: 5, mixout: 0.2, model: dropping, ...spared },
}

interface Outcome {
  readonly losses: number[]
  readonly norms: number[]
  readonly tensors: ReadonlyMap<string, HostTensor>
}

async function run(output: string, options: TrainOptions): Promise<Outcome> {
  const base: TrainOptions = {
    ...{ model: join(root, 'model'), data: [join(root, 'train.jsonl')], method: 'full', steps: 20, batchSize: 2 },
    ...{ shuffle: false, learningRate: 1e-3, schedule: 'linear', warmup: 0, weightDecay: 0.01, seed: golden.seed },
    ...{ logEvery: 1, samples: 0 },
  }
  const [losses, norms]: [number[], number[]] = [[], []]
  for await (const event of train({ ...base, ...options, output })) {
    if (event.type !== 'step') continue
    losses.push(event.loss)
    norms.push(event.gradNorm)
  }
  return { losses, norms, tensors: await readSafetensors(join(output, 'model.safetensors')) }
}

async function check(name: string, { losses, norms, tensors }: Outcome): Promise<void> {
  const expected = golden.cases[name]
  if (!expected) throw new Error(`there is no golden ${name}`)
  const final = await readSafetensors(join(root, `${name}.safetensors`))
  const first = await readSafetensors(join(root, 'model', 'model.safetensors'))
  expect(losses).toHaveLength(expected.losses.length)
  for (const [i, loss] of expected.losses.entries())
    expect(Math.abs((losses[i] ?? 0) - loss), `loss of step ${i + 1}`).toBeLessThan(TORCH.loss)
  for (const [i, norm] of expected.grad_norms.entries())
    expect(Math.abs((norms[i] ?? 0) / norm - 1), `norm of step ${i + 1}`).toBeLessThan(TORCH.gradient)
  expect([...tensors.keys()].sort()).toEqual([...final.keys()].sort())
  for (const [id, value] of final) {
    if (expected.no_gradient.includes(id)) continue
    const update = distance(value, first.get(id))
    expect(distance(value, tensors.get(id)) / update, id).toBeLessThan(TORCH.update)
  }
}

function distance(a: HostTensor, b: HostTensor | undefined): number {
  let sum = 0
  a.data.forEach((value, i) => {
    sum += (Number(value) - Number(b?.data[i])) ** 2
  })
  return Math.sqrt(sum)
}

describe.each(['reference', 'onnxruntime'] as const)('few-sample options as torch has them, on %s', (engine) => {
  it.each(Object.entries(cases))('%s', async (name, options) => {
    await check(name, await run(join(lab, `${engine}-${name}`), { ...options, engine }))
  })

  it.each(['mixout', 'together'])('%s has one mask a step, whatever batches it is made of', async (name) => {
    const parts: TrainOptions = { ...cases[name], engine, batchSize: 1, gradAccumulation: 2 }
    await check(name, await run(join(lab, `${engine}-${name}-parts`), parts))
  })
})

describe('what is drawn anew', () => {
  it.each(Object.keys(golden.redrawn))(
    'is what the paper’s code draws, of %s layers and the pooler',
    async (layers) => {
      const model = await openConfig(join(root, 'model', 'config.json'))
      const modules = [...topLayers(model, Number(layers)), ...poolerOf(model)]
      const names = modules.flatMap(({ path, parameters }) => parameters.map(({ name }) => `${path}.${name}`))
      expect(names.sort()).toEqual(golden.redrawn[layers])
    },
  )
})
