import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { pythonWith } from '../../test/setup/python.ts'
import { TORCH } from '../../test/tolerances.ts'
import { readSafetensors } from '../formats/tensor-files.ts'
import { linear, network, squaredError } from '../layers/network.ts'
import { RandomStream } from '../support/random.ts'
import { f32, type HostTensor, i64 } from '../tensor/host-tensor.ts'
import { lora, predict } from './lora.ts'

const goldens = fileURLToPath(new URL('../../test/goldens/layers', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'lowrank-layers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Flat {
  readonly shape: number[]
  readonly values: number[]
}
/** Made by torch and PEFT: scripts/goldens/custom_layers.py. */
const golden = JSON.parse(readFileSync(join(goldens, 'golden.json'), 'utf8')) as {
  readonly ids: number[][]
  readonly labels: number[]
  readonly losses: number[]
  readonly gradNorm: number
  readonly trainable: number
  readonly logits: Flat
  readonly logitsAfter: Flat
  readonly gradients: Record<string, Flat>
  readonly trained: Record<string, Flat>
  readonly merged: Record<string, Flat>
}
const weightsFile = join(goldens, 'weights.safetensors')
const batch = { ids: i64([5, 4], golden.ids.flat()), labels: i64([5], golden.labels) }

/** torch's Network of the script, in layers of lowrank. */
const words = (weights: Readonly<Record<string, HostTensor>> | string = weightsFile) =>
  network({
    inputs: { ids: { dtype: 'i64', shape: ['batch', 4] }, labels: { dtype: 'i64', shape: ['batch'] } },
    weights,
    forward(net, { ids }) {
      const summed = net.g.sum(net.embedding('words', ids, 10, 6), { axes: [1] })
      const hidden = net.linear('hidden', net.layerNorm('norm', summed, 1e-5), 8, { bias: true })
      return net.linear('out', net.g.gelu(hidden, { kind: 'erf' }), 3)
    },
    loss: (g, logits, { labels }) => g.crossEntropy(logits, labels),
  })

/** Distance over the length of `wanted`. */
function distance(found: HostTensor | undefined, wanted: Flat | HostTensor): number {
  const values = 'values' in wanted ? wanted.values : Array.from(wanted.data, Number)
  expect(found?.shape).toEqual([...wanted.shape])
  const difference = values.map((value, i) => value - Number(found?.data[i]))
  return Math.hypot(...difference) / Math.hypot(...values)
}

describe.each(['reference', 'onnxruntime'] as const)('LoRA on a network of one’s own, on %s', (engine) => {
  it('computes, differentiates, trains and merges as torch and PEFT do', async () => {
    const options = { adapter: join(goldens, 'adapter'), learningRate: 0.02, weightDecay: 0.01, maxGradNorm: 0.5 }
    const model = await lora(words(), { ...options, engine })
    expect(model.trainable.parameters).toBe(golden.trainable)
    expect(model.trainable.tensors.map(({ name }) => name).sort()).toEqual(Object.keys(golden.trained).sort())
    expect(model.parameters).toBe(60 + 12 + 56 + 24)
    expect(distance(await model.predict({ ids: batch.ids }), golden.logits)).toBeLessThan(TORCH.logits)
    const gradients = await model.gradients(batch)
    for (const [name, wanted] of Object.entries(golden.gradients))
      expect(distance(gradients.get(name), wanted)).toBeLessThan(TORCH.gradient)
    expect(await model.loss(batch)).toBeCloseTo(golden.losses[0] ?? 0, 5)
    for (const [step, wanted] of golden.losses.entries()) {
      const { loss, gradNorm } = await model.step(batch)
      expect(Math.abs(loss - wanted)).toBeLessThan(TORCH.loss)
      if (step === 0) expect(Math.abs(gradNorm / golden.gradNorm - 1)).toBeLessThan(TORCH.gradient)
    }
    const values = await model.values()
    for (const [name, wanted] of Object.entries(golden.trained))
      expect(distance(values.get(name), wanted)).toBeLessThan(TORCH.update)
    expect(distance(await model.predict({ ids: batch.ids }), golden.logitsAfter)).toBeLessThan(TORCH.merged)
    const merged = await model.merge()
    for (const [name, wanted] of Object.entries(golden.merged))
      expect(distance(merged[name], wanted)).toBeLessThan(TORCH.merged)
    const alone = await predict(words(merged), { ids: batch.ids }, { engine })
    expect(distance(alone, golden.logitsAfter)).toBeLessThan(TORCH.merged)
    await model.dispose()
  })

  it('begins as the network alone, and learns another loss on some of its layers', async () => {
    const random = new RandomStream(1, 'layers')
    const draw = (...shape: [number, number] | [number]) =>
      f32(
        shape,
        Float32Array.from({ length: shape.reduce((p, n) => p * n, 1) }, () => random.normal() * 0.5),
      )
    const weights = { 'a.0.weight': draw(8, 3), 'a.0.bias': draw(8), 'b.weight': draw(2, 8) }
    const net = network({
      inputs: { x: ['rows', 3], y: ['rows', 2] },
      weights,
      forward: (layers, { x }) => {
        const hidden = layers.scope('a', () => layers.linear('0', x, 8, { bias: true }))
        return layers.linear('b', layers.g.tanh(hidden), 2)
      },
      // Absolute error, a number a row.
      loss: (g, output, { y }) => g.sum(g.sqrt(g.add(squaredError(g, output, y), 1e-6)), { axes: [1] }),
    })
    const [x, y] = [draw(16, 3), draw(16, 2)]
    await using model = await lora(net, { r: 2, targets: ['b'], dropout: 0.1, engine, seed: 5 })
    expect(model.trainable.tensors).toEqual([
      { name: 'b.lora_A.weight', shape: [2, 8] },
      { name: 'b.lora_B.weight', shape: [2, 2] },
    ])
    expect(await model.predict({ x })).toEqual(await predict(net, { x }, { engine }))
    const before = await model.loss({ x, y })
    // Rows may differ in number from step to step.
    const half = { x: f32([8, 3], x.data.slice(0, 24)), y: f32([8, 2], y.data.slice(0, 16)) }
    for (let i = 0; i < 40; i++) await model.step(i % 2 === 0 ? { x, y } : half, { learningRate: 0.05 })
    expect(await model.loss({ x, y })).toBeLessThan(before * 0.9)
  })

  it('takes steps in the order they are asked for, waited for or not', async () => {
    const run = async (waits: boolean) => {
      await using model = await lora(words(), { r: 2, dropout: 0.1, engine })
      const steps: Promise<{ loss: number }>[] = []
      for (let i = 0; i < 3; i++) {
        steps.push(model.step(batch))
        if (waits) await steps.at(-1)
      }
      return (await Promise.all(steps)).map(({ loss }) => loss)
    }
    expect(await run(false)).toEqual(await run(true))
  })

  it('goes on from what it saved', async () => {
    const first = await lora(words(), { r: 3, alpha: 5, targets: 'hidden|out', engine })
    for (let i = 0; i < 4; i++) await first.step(batch, { learningRate: 0.05 })
    await first.save(join(folder, engine))
    const again = await lora(words(), { adapter: join(folder, engine), engine })
    expect(await again.predict(batch)).toEqual(await first.predict(batch))
    expect([...(await again.values()).keys()].sort()).toEqual([...(await first.values()).keys()].sort())
    await first.dispose()
    await again.dispose()
  })
})

describe('the same numbers', () => {
  it('on both engines, gradient by gradient', async () => {
    const run = async (engine: 'reference' | 'onnxruntime') => {
      await using model = await lora(words(), { adapter: join(goldens, 'adapter'), engine })
      return await model.gradients(batch)
    }
    const [oracle, found] = [await run('reference'), await run('onnxruntime')]
    for (const [name, wanted] of oracle) expect(distance(found.get(name), wanted)).toBeLessThan(TORCH.gradient)
  })

  it('from a torch file as from safetensors, and with the same seed', async () => {
    const values = async (weights: string, seed: number) => {
      await using model = await lora(words(weights), { r: 2, dropout: 0.2, seed, engine: 'reference' })
      for (let i = 0; i < 2; i++) await model.step(batch)
      return [...(await model.values())]
    }
    const once = await values(weightsFile, 1)
    expect(await values(join(goldens, 'weights.bin'), 1)).toEqual(once)
    expect(await values(weightsFile, 2)).not.toEqual(once)
  })

  const python = pythonWith('torch', 'peft', 'safetensors')
  it.skipIf(python === undefined)('in PEFT, which opens what is saved', async () => {
    const saved = join(folder, 'for-peft')
    await using model = await lora(words(), { r: 2, config: { use_dora: true }, targets: ['hidden', 'out'] })
    for (let i = 0; i < 5; i++) await model.step(batch, { learningRate: 0.05 })
    await model.save(saved)
    const script = `
import json, sys, torch, peft
from torch import nn
from safetensors.torch import load_file
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 6); self.norm = nn.LayerNorm(6); self.hidden = nn.Linear(6, 8); self.out = nn.Linear(8, 3, bias=False)
    def forward(self, ids): return self.out(nn.functional.gelu(self.hidden(self.norm(self.words(ids).sum(1)))))
net = Network(); net.load_state_dict(load_file(sys.argv[1]))
model = peft.PeftModel.from_pretrained(net, sys.argv[2])
print(json.dumps(model(torch.tensor(json.loads(sys.argv[3]))).flatten().tolist()))`
    const out = execFileSync(python ?? '', ['-c', script, weightsFile, saved, JSON.stringify(golden.ids)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const wanted = { shape: [5, 3], values: JSON.parse(out) as number[] }
    expect(distance(await model.predict({ ids: batch.ids }), wanted)).toBeLessThan(TORCH.logits)
  })
})

const all = Object.fromEntries(await readSafetensors(weightsFile))

describe('what cannot be meant', () => {
  it('is said with the name of the layer', async () => {
    const { 'hidden.weight': hidden, ...rest } = all
    await expect(lora(words(rest))).rejects.toMatchObject({ code: 'format', field: 'hidden.weight' })
    await expect(lora(words({ ...rest, 'hiden.weight': f32([8, 6], new Array(48).fill(0)) }))).rejects.toMatchObject({
      suggestion: 'hiden.weight',
    })
    await expect(lora(words({ ...all, 'hidden.weight': f32([6, 8], hidden?.data as Float32Array) }))).rejects.toThrow(
      /hidden\.weight \[6,8\], the layer needs \[8,6\]/,
    )
    await expect(lora(words(), { targets: ['hiden'] })).rejects.toThrow(/hiden/)
    await expect(lora(words(), { r: 100 })).rejects.toThrow(/rank 100 is above the larger side/)
    await expect(lora(words(), { config: { use_qalora: true } })).rejects.toThrow(/use_qalora/)
    await expect(lora(words(join(folder, 'absent.safetensors')))).rejects.toMatchObject({ code: 'missing' })
    expect(() => linear({ weight: f32([4], [1, 2, 3, 4]) })).toThrow(/shape \[4\], expected \[out, in\]/)
  })

  it('is two layers of one name', async () => {
    const twice = network({
      inputs: { x: ['batch', 4] },
      weights: { 'w.weight': f32([4, 4], new Array(16).fill(0)) },
      forward: (net, { x }) => net.linear('w', net.linear('w', x, 4), 4),
      loss: (_, output) => output,
    })
    await expect(lora(twice)).rejects.toThrow(/two layers named w/)
  })

  it('is a batch that lacks an input, or has another', async () => {
    await using model = await lora(linear({ weight: f32([2, 2], [1, 0, 0, 1]) }), { r: 1, engine: 'reference' })
    const [x, y] = [f32([3, 2], [1, 2, 3, 4, 5, 6]), f32([3, 2], [1, 2, 3, 4, 5, 6])]
    const wrong = { x } as { x: HostTensor; y: HostTensor }
    await expect(model.step(wrong)).rejects.toMatchObject({ code: 'usage', message: 'the batch lacks the input y' })
    const typo = { x, y, z: y }
    await expect(model.step(typo)).rejects.toThrow(/no input z; it has x, y/)
    await expect(model.step({ x: i64([3, 2], [1, 2, 3, 4, 5, 6]), y })).rejects.toThrow(
      /x is i64\[3, 2\], expected f32/,
    )
    await expect(model.step({ x: f32([3, 3], new Array(9).fill(0)), y })).rejects.toMatchObject({ code: 'engine' })
    await expect(model.step({ x, y: f32([2, 2], [1, 2, 3, 4]) })).rejects.toMatchObject({ name: 'LowrankError' })
    const nan = f32([3, 2], new Array(6).fill(Number.NaN))
    await expect(model.step({ x: nan, y })).rejects.toMatchObject({
      code: 'numeric',
      message: /loss of step \d+ is NaN/,
    })
  })
})
