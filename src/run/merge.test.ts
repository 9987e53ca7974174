/** @file Merging as its user meets it: folders, dtypes, shards, several adapters, and everything that is refused. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseHfConfig } from '../formats/hf-config.ts'
import { loraConfig } from '../formats/peft-config.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { writePeftFolder } from '../formats/peft-folder.ts'
import { readSafetensors, writeSafetensors } from '../formats/tensor-files.ts'
import { openWeights } from '../formats/weights-folder.ts'
import { actsOnWholeBatch } from '../infer/loaded-adapter.ts'
import { modelOf } from '../models/registry.ts'
import { fileKey } from '../peft/keys.ts'
import { layoutAdapter } from '../peft/layout.ts'
import { asF32, deltaWeight, storeLike } from '../peft/low-rank-update.ts'
import { RandomStream } from '../support/random.ts'
import { f32, type HostTensor, sizeOf } from '../tensor/host-tensor.ts'
import { loadAdapter } from './adapters.ts'
import { mergeAdapter } from './merge.ts'
import { openModel } from './open-model.ts'

const work = mkdtempSync(join(tmpdir(), 'lowrank-merge-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

const config = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 17,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
}
const model = modelOf(parseHfConfig(config, 'config.json'))
const random = new RandomStream(1, 'merge.test')
const drawn = (shape: readonly number[]): HostTensor =>
  f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => 0.5 * random.normal()),
  )
const path = (name: string): string => join(work, name)
const q = 'model.layers.0.self_attn.q_proj'

/** A base of bf16 in two shards, with a buffer that the model does not know. */
async function writeBase(folder: string): Promise<void> {
  mkdirSync(folder)
  const tensors = model.modules.flatMap(({ path, parameters, tiedTo }) =>
    tiedTo ? [] : parameters.map(({ name, shape }) => [`${path}.${name}`, drawn(shape)] as const),
  )
  const stored = tensors.map(
    ([name, t]) => [name, storeLike({ dtype: 'bf16', shape: t.shape }, asF32(t, name))] as const,
  )
  const shards = [stored.slice(0, 9), [...stored.slice(9), ['model.rotary.inv_freq', f32([2], [1, 2])] as const]]
  const weight_map: Record<string, string> = {}
  for (const [i, shard] of shards.entries()) {
    const name = `model-0000${i + 1}-of-00002.safetensors`
    await writeSafetensors(join(folder, name), new Map(shard))
    for (const [tensor] of shard) weight_map[tensor] = name
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map }))
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, null, 3))
  writeFileSync(join(folder, 'tokenizer.json'), 'merging copies it, and does not read it')
  writeFileSync(join(folder, 'generation_config.json'), '{}')
}

async function writeAdapter(name: string, set: Partial<PeftLoraConfig>): Promise<ReadonlyMap<string, HostTensor>> {
  const full = loraConfig({ r: 2, lora_alpha: 4, base_model_name_or_path: path('base'), ...set })
  const layout = layoutAdapter(model.modules, full)
  const values = new Map(layout.tensors.filter((t) => t.trained).map((t) => [fileKey(t.id), drawn(t.shape)]))
  mkdirSync(path(name))
  await writePeftFolder(path(name), { config: full, tensors: values })
  return values
}

async function tensorOf(folder: string, name: string): Promise<HostTensor | undefined> {
  for (const file of (await openWeights(folder)).files) {
    const found = (await readSafetensors(file)).get(name)
    if (found) return found
  }
  return undefined
}

let plain: ReadonlyMap<string, HostTensor>
let other: ReadonlyMap<string, HostTensor>
beforeAll(async () => {
  await writeBase(path('base'))
  plain = await writeAdapter('plain', { target_modules: ['q_proj'] })
  other = await writeAdapter('other', { target_modules: ['q_proj', 'down_proj'] })
  await writeAdapter('head', { target_modules: ['q_proj'], modules_to_save: ['lm_head'] })
  await writeAdapter('dora', { target_modules: ['q_proj'], use_dora: true })
  await writeAdapter('biased', { target_modules: ['q_proj'], lora_bias: true })
})

describe('merge', () => {
  it('keeps dtypes, shards, config and other tensors, on the base that the adapter names', async () => {
    const result = await mergeAdapter({ adapter: [path('plain')], output: path('out') })
    expect(result).toMatchObject({ output: path('out'), merged: 2, dtype: 'bf16' })
    expect(readdirSync(path('out')).sort()).toEqual(readdirSync(path('base')).sort())
    expect(readFileSync(join(path('out'), 'config.json'))).toEqual(readFileSync(join(path('base'), 'config.json')))
    for (const name of ['model.rotary.inv_freq', 'model.layers.1.mlp.down_proj.weight', 'model.embed_tokens.weight'])
      expect(await tensorOf(path('out'), name)).toEqual(await tensorOf(path('base'), name))
    const base = await tensorOf(path('base'), `${q}.weight`)
    const merged = await tensorOf(path('out'), `${q}.weight`)
    expect(merged?.dtype).toBe('bf16')
    expect(merged).not.toEqual(base)
    expect((await openModel(path('out'))).weights.size).toBe((await openModel(path('base'))).weights.size)
  })

  it('keeps the names of files that leave the model’s prefix out', async () => {
    mkdirSync(path('bare'))
    const tensors = new Map<string, HostTensor>()
    for (const file of (await openWeights(path('base'))).files)
      for (const [name, tensor] of await readSafetensors(file)) tensors.set(name.replace(/^model\./, ''), tensor)
    await writeSafetensors(join(path('bare'), 'model.safetensors'), tensors)
    writeFileSync(join(path('bare'), 'config.json'), JSON.stringify(config))
    await mergeAdapter({ model: path('bare'), adapter: [path('plain')], output: path('bare-out') })
    expect((await openWeights(path('bare-out'))).refs.size).toBe(tensors.size)
    expect(await tensorOf(path('bare-out'), `${q}.weight`.replace('model.', ''))).toEqual(
      await tensorOf(path('out'), `${q}.weight`),
    )
  })

  it('adds several adapters by their weights', async () => {
    await mergeAdapter({
      model: path('base'),
      adapter: [`a=${path('plain')}:0.5`, { path: path('other'), name: 'b', weight: -2 }],
      output: path('several'),
    })
    const base = await tensorOf(path('base'), `${q}.weight`)
    const found = await tensorOf(path('several'), `${q}.weight`)
    const delta = (values: typeof plain, scale: number): Float32Array => {
      const [a, b] = [values.get(fileKey(`${q}.lora_A.weight`)), values.get(fileKey(`${q}.lora_B.weight`))]
      return a && b ? deltaWeight(false, a, b, scale, q).data : new Float32Array()
    }
    const [first, second] = [delta(plain, 1), delta(other, -4)]
    const wanted = Float32Array.from(base ? asF32(base, q) : [], (w, i) => w + (first[i] ?? 0) + (second[i] ?? 0))
    expect(found).toEqual(storeLike({ dtype: 'bf16', shape: [8, 8] }, wanted))
  })

  it('writes a trained head apart from the embedding it was tied to, and says so in the config', async () => {
    await mergeAdapter({ adapter: [path('head')], output: path('untied') })
    const { model } = await openModel(path('untied'))
    expect(model.head?.tiedTo).toBeUndefined()
    expect(await tensorOf(path('untied'), 'lm_head.weight')).toMatchObject({ dtype: 'bf16', shape: [17, 8] })
    expect(await tensorOf(path('untied'), 'model.embed_tokens.weight')).toEqual(
      await tensorOf(path('base'), 'model.embed_tokens.weight'),
    )
  })

  it('takes an embedding that the adapter brings along in place of the base’s, where it differs', async () => {
    const targets = { target_modules: ['embed_tokens', 'q_proj'], base_model_name_or_path: path('base') }
    const full = loraConfig({ r: 2, lora_alpha: 2, ...targets })
    const layout = layoutAdapter(model.modules, full)
    const values = new Map(layout.tensors.filter((t) => t.trained).map((t) => [fileKey(t.id), drawn(t.shape)]))
    const name = 'model.embed_tokens.weight'
    const same = await tensorOf(path('base'), name)
    const own = drawn([17, 8])
    const base = await openModel(path('base'))
    for (const [folder, brought] of [
      ['same', same && f32([17, 8], asF32(same, name))],
      ['own', own],
    ] as const) {
      mkdirSync(path(folder))
      const key = fileKey('model.embed_tokens.base_layer.weight')
      await writePeftFolder(path(folder), { config: full, tensors: new Map([...values, [key, brought ?? own]]) })
      const loaded = await loadAdapter(base, { name: folder, path: path(folder) })
      expect([...loaded.base.keys()]).toEqual(folder === 'own' ? [name] : [])
      expect(actsOnWholeBatch(loaded)).toEqual(folder === 'own' ? expect.stringContaining(name) : undefined)
      await mergeAdapter({ adapter: [path(folder)], output: path(`${folder}-out`) })
    }
    const [a, b] = ['A', 'B'].map((part) => values.get(fileKey(`model.embed_tokens.lora_embedding_${part}`)))
    const delta = a && b ? deltaWeight(true, a, b, 1, name).data : new Float32Array()
    const stored = asF32(storeLike({ dtype: 'bf16', shape: [17, 8] }, asF32(own, name)), name)
    const wanted = Float32Array.from(stored, (w, i) => w + (delta[i] ?? 0))
    expect(await tensorOf(path('own-out'), name)).toEqual(storeLike({ dtype: 'bf16', shape: [17, 8] }, wanted))
    expect(await tensorOf(path('same-out'), name)).not.toEqual(await tensorOf(path('own-out'), name))
  })

  it('refuses an output that holds something, or the folders it reads', async () => {
    mkdirSync(path('full'))
    writeFileSync(join(path('full'), 'mine.txt'), 'mine')
    const merge = (output: string, overwrite = false): Promise<unknown> =>
      mergeAdapter({ adapter: [path('plain')], output, overwrite })
    await expect(merge(path('full'))).rejects.toMatchObject({ code: 'usage', file: path('full'), field: 'output' })
    expect(readFileSync(join(path('full'), 'mine.txt'), 'utf8')).toBe('mine')
    for (const input of ['plain', 'base', '.']) {
      await expect(merge(path(input), true)).rejects.toMatchObject({ code: 'usage', field: 'output' })
    }
    await merge(path('full'), true)
    expect(readdirSync(path('full'))).not.toContain('mine.txt')
    expect(readdirSync(work).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  it('refuses what cannot be merged, by name, and leaves nothing', async () => {
    const merge = (...adapter: string[]): Promise<unknown> =>
      mergeAdapter({ model: path('base'), adapter, output: path('never') })
    await expect(merge(path('biased'))).rejects.toMatchObject({ code: 'config', field: 'lora_bias', message: /q_proj/ })
    await expect(merge(`d=${path('dora')}:0.5`)).rejects.toMatchObject({ code: 'usage', field: 'd', message: /DoRA/ })
    await expect(merge(path('missing'))).rejects.toMatchObject({ code: 'missing' })
    await expect(merge(`a=${path('plain')}`, `a=${path('other')}`)).rejects.toMatchObject({
      code: 'usage',
      field: 'adapter',
    })
    await expect(
      mergeAdapter({ adapter: [path('plain')], output: path('never'), signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'stopped' })
    expect(readdirSync(work)).not.toContain('never')
    expect(readdirSync(work).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  it('refuses weights that are not finite, naming tensor and adapter', async () => {
    const full = loraConfig({ r: 2, target_modules: ['q_proj'], base_model_name_or_path: path('base') })
    const tensors = new Map(
      [...plain].map(([key, { shape }]) => [key, f32(shape, new Float32Array(sizeOf(shape)).fill(1e30))]),
    )
    mkdirSync(path('huge'))
    await writePeftFolder(path('huge'), { config: full, tensors })
    const merge = mergeAdapter({ adapter: [`huge=${path('huge')}`], output: path('never') })
    await expect(merge).rejects.toMatchObject({ code: 'numeric', field: `${q}.weight`, message: /adapter huge/ })
    expect(readdirSync(work)).not.toContain('never')
  })

  it('says that an adapter was made for another base', async () => {
    const wide = modelOf(parseHfConfig({ ...config, hidden_size: 16, intermediate_size: 20 }, 'config.json'))
    const full = loraConfig({ r: 2, target_modules: ['q_proj'] })
    const layout = layoutAdapter(wide.modules, full)
    mkdirSync(path('foreign'))
    await writePeftFolder(path('foreign'), {
      config: full,
      tensors: new Map(layout.tensors.map((t) => [fileKey(t.id), drawn(t.shape)])),
    })
    const foreign = mergeAdapter({ model: path('base'), adapter: [path('foreign')], output: path('never') })
    await expect(foreign).rejects.toMatchObject({
      code: 'format',
      file: path('foreign'),
      message: /made for another base/,
    })
    const nameless = mergeAdapter({ adapter: [path('foreign')], output: path('never') })
    await expect(nameless).rejects.toMatchObject({ code: 'usage', field: 'base_model_name_or_path' })
  })
})
