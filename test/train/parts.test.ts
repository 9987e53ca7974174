/** @file Methods that sit in an encoder, from options to a run folder and back: evaluation, going on, merging, looking at it. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readHubFolder } from '../../src/formats/adapterhub.ts'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { writeTorchFile } from '../../src/formats/torch-write.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { inspect } from '../../src/run/inspect.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import type { TrainResult } from '../../src/run/types.ts'
import { type HostTensor, zeros } from '../../src/tensor/host-tensor.ts'
import { tinyBert, writeRows, writeTinyModel } from '../setup/tiny-model.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-parts-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)

beforeAll(async () => {
  await writeTinyModel(at('bert'), tinyBert)
  await writeTinyModel(at('llama'))
  const rows = (count: number): unknown[] =>
    Array.from({ length: count }, (_, i) => ({
      input_ids: Array.from({ length: 3 + ((i * 5) % 6) }, (_, t) => 1 + i + t),
      label: ['no', 'yes', 'maybe'][i % 3],
    }))
  writeRows(at('rows.jsonl'), rows(12))
  writeRows(at('held.jsonl'), rows(5))
})

async function run(options: TrainOptions): Promise<TrainResult> {
  const base: TrainOptions = {
    ...{ model: at('bert'), data: at('rows.jsonl'), evalData: at('held.jsonl'), steps: 3, samples: 0, batchSize: 4 },
    ...{ engine: 'reference', learningRate: 1e-2, warmup: 0 },
  }
  const events = train({ ...base, ...options })
  for (;;) {
    const next = await events.next()
    if (next.done) return next.value
  }
}

const evalLoss = async (model: string, adapter?: string): Promise<number> =>
  (await evaluate({ model, ...(adapter ? { adapter: [adapter] } : {}), data: [at('held.jsonl')], engine: 'reference' }))
    .loss

const bytes = (...parts: string[]): Buffer => readFileSync(at(...parts))

const methods = ['houlsby', 'pfeiffer', 'parallel', 'bitfit', 'ln-tuning', 'head'] as const

describe.each(methods)('%s', (method) => {
  const sized = method === 'houlsby' || method === 'pfeiffer' || method === 'parallel'
  const options: TrainOptions = sized ? { method, bottleneck: 5 } : { method }

  it('is trained, evaluated from its folder alone, and gone on from', async () => {
    const output = at(method)
    const result = await run({ ...options, output })
    expect(await evalLoss(at('bert'), output)).toBeCloseTo(result.evalLoss ?? Number.NaN, 5)
    expect(existsSync(join(output, 'pytorch_adapter.bin'))).toBe(sized)
    expect(existsSync(join(output, 'trained.safetensors'))).toBe(true)
    const found = await inspect({ path: output })
    expect(found).toMatchObject({ kind: 'run', trainable: result.trainable, adapter: { base: at('bert') } })
    const again = await run({ adapter: output, output: at(`${method}-again`), learningRate: 1e-9 })
    expect(again.trainable).toBe(result.trainable)
    expect(again.evalLoss).toBeCloseTo(result.evalLoss ?? Number.NaN, 4)
    expect(readFileSync(at(`${method}-again`, 'run.yaml'), 'utf8')).toContain(`method: ${method}`)
    // The adapter names the base.
    const bare = await run({ model: undefined, adapter: output, output: at(`${method}-bare`), learningRate: 1e-9 })
    expect(bare.evalLoss).toBe(again.evalLoss)
    const longer = await run({ output: at(`${method}-again`), resume: true, learningRate: 1e-9, steps: 4 })
    expect(longer.steps).toBe(4)
  })

  it('goes on bit for bit after a stop, dropout and all', async () => {
    const settings: TrainOptions = { ...options, schedule: 'constant', dataSeed: 5 }
    await run({ ...settings, output: at(`${method}-straight`), steps: 4 })
    await run({ ...settings, output: at(`${method}-halves`), steps: 2 })
    await run({ output: at(`${method}-halves`), resume: true, steps: 4 })
    const files = sized ? ['pytorch_adapter.bin', 'pytorch_model_head.bin'] : []
    for (const file of [...files, 'trained.safetensors', 'labels.json'])
      expect(bytes(`${method}-halves`, file).equals(bytes(`${method}-straight`, file)), file).toBe(true)
  })

  it('is merged exactly, or refused by name', async () => {
    const merge = mergeAdapter({ model: at('bert'), adapter: [at(method)], output: at(`${method}-merged`) })
    if (sized) return await expect(merge).rejects.toThrow(/bottlenecks cannot be merged: they are layers of their own/)
    await merge
    expect(await evalLoss(at(`${method}-merged`))).toBeCloseTo(await evalLoss(at('bert'), at(method)), 5)
    const trained = await readSafetensors(at(method, 'trained.safetensors'))
    const merged = await readSafetensors(at(`${method}-merged`, 'model.safetensors'))
    for (const [name, value] of trained) expect(merged.get(name)?.data).toEqual(value.data)
  })
})

describe('layers without an adapter', () => {
  it('are left alone in training, below the lowest adapter altogether', async () => {
    const output = at('dropped')
    await run({ method: 'houlsby', bottleneck: 5, adapterDrop: [0], output })
    const { tensors, trained } = await readHubFolder(output)
    expect([...tensors.keys()].filter((key) => !key.includes('encoder.layer.1.'))).toEqual([])
    expect([...trained.keys()].filter((key) => /embeddings|layer\.0\./.test(key))).toEqual([])
    expect((await inspect({ path: output })).adapter?.extras).toContain('none in layers 0')
    const again = await run({ adapter: output, output: at('dropped-again'), learningRate: 1e-9 })
    expect(again.evalLoss).toBeCloseTo(await evalLoss(at('bert'), output), 4)
    expect(readFileSync(at('dropped-again', 'run.yaml'), 'utf8')).toContain('adapter-drop: [0]')
  })

  it('can be chosen where it is used: as if what the adapter adds there were 0', async () => {
    const [used, model] = [at('houlsby'), at('bert')]
    const drop = async (layers: number[], adapter = used): Promise<number> => {
      const dropped = layers.length > 0 ? { adapterDrop: layers } : {}
      const options = { model, adapter: [adapter], data: [at('held.jsonl')], ...dropped }
      return (await evaluate({ ...options, engine: 'reference' })).loss
    }
    const { config, tensors, trained } = await readHubFolder(used)
    const nothing = [...tensors].map(([key, value]): [string, HostTensor] => [
      key,
      key.includes('layer.0.') && key.includes('adapter_up') ? zeros('f32', value.shape) : value,
    ])
    cpSync(used, at('zeroed'), { recursive: true })
    await writeTorchFile(at('zeroed', 'pytorch_adapter.bin'), new Map(nothing))
    expect(config.config.leave_out).toEqual([])
    expect(trained.size).toBeGreaterThan(0)
    expect(await drop([0])).toBe(await drop([], at('zeroed')))
    expect(await drop([0])).not.toBe(await drop([]))
    await expect(drop([0, 1])).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/leaves .*houlsby no layer/),
    })
    await expect(drop([4])).rejects.toMatchObject({
      message: expect.stringMatching(/there is no layer 4; the model has 0 to 1/),
    })
    await expect(drop([0], at('bitfit'))).rejects.toMatchObject({
      message: `adapter-drop: ${at('bitfit')} has no bottleneck adapters that could be left out`,
    })
  })
})

describe('bad input', () => {
  const fails = async (options: TrainOptions): Promise<unknown> =>
    await run({ output: at('bad'), ...options }).then(
      () => 'trained',
      (error: unknown) => error,
    )

  it('names what does not fit', async () => {
    const lm = at('lm.jsonl')
    writeRows(lm, [{ input_ids: [1, 2, 3] }])
    for (const method of methods)
      expect(await fails({ model: at('llama'), data: lm, evalData: lm, method })).toMatchObject({
        code: 'unsupported',
        message: expect.stringMatching(/is a method for encoders, and llama is a decoder/),
      })
    expect(await fails({ method: 'houlsby', adapterDrop: [2] })).toMatchObject({ field: 'adapter-drop' })
    expect(await fails({ method: 'houlsby', adapterDrop: [0, 1] })).toMatchObject({ field: 'adapter-drop' })
    expect(await fails({ adapter: at('houlsby'), method: 'bitfit' })).toMatchObject({ code: 'usage', field: 'method' })
    expect(await fails({ adapter: at('houlsby'), bottleneck: 4 })).toMatchObject({ field: 'bottleneck' })
    expect(await fails({ adapter: at('houlsby'), adapterInitStd: 0.1 })).toMatchObject({ field: 'adapter-init-std' })
    expect(await fails({ adapter: at('bitfit'), rank: 4 })).toMatchObject({ field: 'rank' })
    expect(existsSync(at('bad'))).toBe(false)
  })

  it.each<[string, (config: Record<string, unknown>) => void, RegExp]>([
    ['gating', (c) => Object.assign(c.config as object, { use_gating: true }), /use_gating is true: only false/],
    ['prefix tuning', (c) => Object.assign(c.config as object, { architecture: 'prefix_tuning' }), /architecture/],
    [
      'an activation',
      (c) => Object.assign(c.config as object, { non_linearity: 'leakyrelu' }),
      /non_linearity leakyrelu/,
    ],
    [
      'a size',
      (c) => Object.assign(c.config as object, { reduction_factor: 8 }),
      /adapter_down\.0\.weight is \[5,16\]/,
    ],
    ...(
      [
        ['sizes of too few layers', { 0: 4 }, /reduction_factor names layers 0 and no default: layer 1 has no size/],
        ['sizes of no layers', {}, /reduction_factor is \{\}, and must be/],
        ['a size of something else', { first: 4 }, /reduction_factor is \{"first":4\}, and must be/],
        ['a size of nothing', { default: 0 }, /reduction_factor is \{"default":0\}, and must be/],
      ] as const
    ).map(([name, factors, message]): [string, (c: Record<string, unknown>) => void, RegExp] => [
      name,
      (c) => Object.assign(c.config as object, { reduction_factor: factors }),
      message,
    ]),
    ['no places', (c) => Object.assign(c.config as object, { mh_adapter: false, output_adapter: false }), /nowhere/],
    ['a width', (c) => Object.assign(c, { hidden_size: 32 }), /hidden_size is 32/],
    ['a family', (c) => Object.assign(c, { model_type: 'roberta' }), /made for roberta, and the model is bert/],
    ['no name', (c) => void delete c.name, /name is missing/],
    ['a torn config', (c) => Object.assign(c, { config: 7 }), /config must be an object/],
  ])('of a folder is told: %s', async (_, spoil, message) => {
    const file = at('houlsby', 'adapter_config.json')
    const text = readFileSync(file, 'utf8')
    const config = JSON.parse(text) as Record<string, unknown>
    spoil(config)
    writeFileSync(file, JSON.stringify(config))
    try {
      await expect(evalLoss(at('bert'), at('houlsby'))).rejects.toThrow(message)
    } finally {
      writeFileSync(file, text)
    }
  })
})
