/**
 * @file LoraConfig's fields beyond plain LoRA, as PEFT computes and trains them on a tiny Llama
 * (scripts/goldens/lora_fields.py): logits, loss, gradients and twenty steps, on both engines.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { Generator } from '../../src/infer/generator.ts'
import { asF32, transpose } from '../../src/peft/low-rank-update.ts'
import { f32, type HostTensor } from '../../src/tensor/host-tensor.ts'
import { loraFa } from '../../src/train/lora-fa.ts'
import { layerNorms, loraPlusRule } from '../../src/train/lora-plus.ts'
import { groupParameters } from '../../src/train/parameter-groups.ts'
import { heldWeights } from '../../src/train/step-graph.ts'
import { type Case, openCase } from './case.ts'
import { checkEvaluation, checkGradients, checkLogits, checkTraining } from './checks.ts'

const folder = (name: string): string => fileURLToPath(new URL(join('../goldens/lora-fields', name), import.meta.url))
const engines: Engine[] = [referenceEngine(), onnxruntimeEngine()]

afterAll(async () => {
  for (const engine of engines) await engine.dispose()
})

/** The case with the groups of LoRA+. */
function withLoraPlus(c: Case): Case {
  const { model, layout } = c.trained
  const rule = loraPlusRule({
    ratio: 8,
    embeddingRate: 2e-4,
    learningRate: 1e-3,
    layerNorms: layerNorms(model.modules),
  })
  return { ...c, trained: { ...c.trained, groups: groupParameters(layout.tensors, rule) } }
}

/** The case with A held. */
function withLoraFa(c: Case): Case {
  const { layout } = c.trained
  const fa = loraFa(layout.sites, c.start)
  const groups = groupParameters(layout.tensors, { holds: ({ id }) => fa.held.has(id) })
  const trained = { ...c.trained, groups, loraFa: fa }
  return { ...c, trained, weights: new Map([...c.weights, ...heldWeights(trained)]) }
}

function sum(a: HostTensor, b: HostTensor): HostTensor {
  const [left, right] = [asF32(a, 'left'), asF32(b, 'right')]
  return f32(
    a.shape,
    left.map((value, i) => value + (right[i] ?? 0)),
  )
}

async function check(engine: Engine, c: Case, optimizer: 'adamw' | 'lorafa' = 'adamw'): Promise<void> {
  expect(c.trained.groups.reduce((n, g) => n + g.size, 0)).toBe(c.golden.trainable)
  await checkLogits(engine, c)
  await checkEvaluation(engine, c)
  await checkGradients(engine, c)
  await checkTraining(engine, c, optimizer)
}

describe.each(engines)('fields of LoraConfig on $name', (engine) => {
  it.each(['lora-plus', 'lora-plus-dora'])('%s: the groups of PEFT’s optimizer', async (name) => {
    await check(engine, withLoraPlus(await openCase(folder(name))))
  })

  it.each(['lora-fa', 'lora-fa-rslora'])('%s: A is held, the gradient of B projected', async (name) => {
    const c = withLoraFa(await openCase(folder(name)))
    expect(c.trained.groups.flatMap((g) => g.tensors).filter((t) => t.role === 'lora_A')).toEqual([])
    await check(engine, c, 'lorafa')
  })

  it.each(['parameters', 'parameters-besides'])('%s: updates of parameters', async (name) => {
    const c = await openCase(folder(name))
    await check(engine, c)
  })

  it('replicated: each copy of a layer has an update of its own', async () => {
    await check(engine, await openCase(folder('replicated')))
  })

  it.each(['tied-saved', 'tied-tokens'])('%s: head and embedding train one copy', async (name) => {
    await check(engine, await openCase(folder(name)))
  })

  it('tied-targets: head and embedding share two factors', async () => {
    const c = await openCase(folder('tied-targets'))
    expect(c.trained.groups.flatMap((g) => g.tensors).filter((t) => t.module === 'lm_head')).toEqual([])
    await checkLogits(engine, c)
    await checkEvaluation(engine, c)
    // torch has a second parameter over the same numbers: the gradient of what they share is the sum of both.
    const summed = new Map(c.tensors)
    for (const [own, other] of [
      ['embed_tokens.lora_embedding_A', 'lm_head.lora_B.weight'],
      ['embed_tokens.lora_embedding_B', 'lm_head.lora_A.weight'],
    ] as const) {
      const key = `grad.base_model.model.model.${own}`
      const [mine, twin] = [c.tensors.get(key), c.tensors.get(`grad.base_model.model.${other}`)]
      if (mine && twin) summed.set(key, sum(mine, transpose(twin, other)))
    }
    expect(summed.get('grad.base_model.model.model.embed_tokens.lora_embedding_A')).not.toBe(
      c.tensors.get('grad.base_model.model.model.embed_tokens.lora_embedding_A'),
    )
    await checkGradients(engine, { ...c, tensors: summed })
  })

  it.each(['alora', 'alora-head'])('%s: acts from the last invocation on', async (name) => {
    const c = await openCase(folder(name))
    expect(c.trained.layout.invocation).toEqual([7, 8])
    await check(engine, c)
  })

  it.each(['alora', 'alora-head'])('%s: acts on what is generated after an invocation', async (name) => {
    const c = await openCase(folder(name))
    const { model, layout } = c.trained
    const adapter = { name: 'a', layout, values: c.start, base: new Map<string, HostTensor>() }
    const parts = { engine, model, weights: c.weights, adapters: [adapter] }
    const requests = (c.golden.generations ?? []).map(({ prompt }) => ({
      ids: prompt,
      maxTokens: 12,
      adapters: [{ name: 'a' }],
    }))
    const expected = c.golden.generations?.map(({ ids }) => ids)
    expect(expected?.length).toBe(5)
    for (const promptChunk of [512, 2]) {
      const generator = new Generator({ ...parts, promptChunk })
      const found = await generator.run([...requests, { ids: [7, 8, 30, 12], maxTokens: 12 }])
      expect(found.slice(0, 5).map(({ ids }) => ids)).toEqual(expected)
      expect(found[5]?.ids).not.toEqual(found[1]?.ids) // the base alone, in the same batch or not
      await generator.dispose()
    }
  })
})
