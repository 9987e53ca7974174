import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { sharedPath } from '../../test/setup/shared.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { readPeftFolder } from '../formats/peft-folder.ts'
import { readSafetensors, writeSafetensors } from '../formats/tensor-files.ts'
import { readTorchFile } from '../formats/torch-file.ts'
import { fileKey, idOfKey } from '../peft/keys.ts'
import { asF32 } from '../peft/low-rank-update.ts'
import { siteScale } from '../peft/patterns.ts'
import { f32, type HostTensor } from '../tensor/host-tensor.ts'
import { convert } from './convert.ts'
import { inspect } from './inspect.ts'
import { mergeAdapter } from './merge.ts'

/** Made by the real loralib: scripts/goldens/loralib_files.py. */
const goldens = fileURLToPath(new URL('../../test/goldens/loralib', import.meta.url))
const gpt2 = fileURLToPath(new URL('../../test/goldens/models/gpt2/model', import.meta.url))
const deltas = await readSafetensors(join(goldens, 'deltas.safetensors'))
const folder = mkdtempSync(join(tmpdir(), 'lowrank-convert-'))
const at = (name: string): string => join(folder, name)
const golden = (name: string): string => join(goldens, `${name}.bin`)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** One rounding of f32 a product and a sum of a few terms below 1. */
const CLOSE = 1e-6

/** s·B·A `[out, in]` of a module of a PEFT adapter; of an embedding `[tokens, width]`. */
function delta(config: PeftLoraConfig, tensors: ReadonlyMap<string, HostTensor>, path: string): HostTensor {
  const embedding = tensors.has(fileKey(`${path}.lora_embedding_A`))
  const of = (short: string): HostTensor => {
    const held = tensors.get(fileKey(`${path}.${embedding ? `lora_embedding_${short}` : `lora_${short}.weight`}`))
    if (!held) throw new Error(`no lora_${short} of ${path}`)
    return held
  }
  const [a, b] = [of('A'), of('B')]
  const { r, scale } = siteScale(config, path)
  expect(a.shape[0]).toBe(r)
  const [rows = 0, columns = 0] = [b.shape[0], a.shape[1]]
  const [av, bv] = [asF32(a, path), asF32(b, path)]
  const out = new Float32Array(rows * columns)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      let sum = 0
      for (let k = 0; k < r; k++) sum += (bv[i * r + k] ?? 0) * (av[k * columns + j] ?? 0)
      out[embedding ? j * rows + i : i * columns + j] = scale * sum
    }
  return f32(embedding ? [columns, rows] : [rows, columns], out)
}

function furthest(a: HostTensor, b: HostTensor): number {
  expect(a.shape).toEqual(b.shape)
  const [left, right] = [asF32(a, 'a'), asF32(b, 'b')]
  return left.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (right[i] ?? 0))), 0)
}

describe('loralib to PEFT', () => {
  it.each([
    ['gpt2-qv', undefined],
    ['gpt2-mixed', undefined],
    ['gpt2-qkv', undefined],
    ['gpt2-kv', ['false', 'true', 'true']],
  ] as const)('%s has the update that loralib computes', async (name, enableLora) => {
    const output = at(name)
    const options = enableLora ? { enableLora: [...enableLora] } : {}
    const result = await convert({ path: golden(name), from: 'loralib', alpha: 32, output, model: gpt2, ...options })
    const { config, tensors } = await readPeftFolder(output)
    const wanted = [...deltas].filter(([key]) => key.startsWith(`${name}/`))
    expect(wanted).toHaveLength(result.modules)
    for (const [key, expected] of wanted)
      expect(furthest(delta(config, tensors, key.slice(name.length + 1)), expected)).toBeLessThan(CLOSE)
    expect(config).toMatchObject({ fan_in_fan_out: true, base_model_name_or_path: gpt2, task_type: 'CAUSAL_LM' })
    expect(result.notes.join()).toMatch(enableLora ? /blocks of zeros$/ : /the file does not say which parts/)
  })

  it('the same, put on a model and merged into it', async () => {
    const output = at('merge-me')
    await convert({ path: golden('gpt2-mixed'), from: 'loralib', alpha: 32, output, model: gpt2 })
    await mergeAdapter({ adapter: [output], output: at('merged') })
    const base = await readSafetensors(join(gpt2, 'model.safetensors'))
    const merged = await readSafetensors(join(at('merged'), 'model.safetensors'))
    let compared = 0
    for (const [key, expected] of deltas) {
      const [name, path = ''] = key.split('/')
      const own = [path, path.replace('transformer.', '')].map((p) => `${p}.weight`).find((p) => base.has(p)) ?? ''
      const [before, after] = [base.get(own), merged.get(own)]
      if (name !== 'gpt2-mixed' || !before || !after) continue
      const [rows = 0, columns = 0] = before.shape
      const change = asF32(after, own).map((value, i) => value - (asF32(before, own)[i] ?? 0))
      const flip = path.endsWith('wte') ? change : transpose(change, rows, columns)
      expect(furthest(f32(expected.shape, flip), expected)).toBeLessThan(CLOSE)
      compared++
    }
    expect(compared).toBe(5)
  })

  it('and back, as the tensors that it came from where no layer was fused', async () => {
    const plain = at('plain.safetensors')
    const state = await readTorchFile(golden('gpt2-mixed'))
    const kept = new Map([...state].filter(([name]) => !name.includes('c_attn')))
    await writeSafetensors(plain, kept)
    await convert({ path: plain, from: 'loralib', alpha: 32, output: at('there') })
    const result = await convert({ path: at('there'), to: 'loralib', output: at('back.bin') })
    expect(new Map([...(await readTorchFile(at('back.bin')))].sort())).toEqual(new Map([...kept].sort()))
    expect(result.notes).toEqual([expect.stringContaining('r=2, lora_alpha=32 or r=3, lora_alpha=32')])
  })

  it('says what is wrong with a file, and leaves nothing', async () => {
    const output = at('none')
    const from = { from: 'loralib', alpha: 16, output } as const
    await expect(convert({ path: golden('whole'), ...from })).rejects.toMatchObject({
      code: 'unsupported',
      message: /whole.bin holds the weights of the adapted layers too/,
    })
    await expect(convert({ path: golden('gpt2-qv'), ...from, enableLora: ['true', 'true', 'true'] })).rejects.toThrow(
      /c_attn .* has updates of 2 parts .*switches 3 on/,
    )
    await expect(convert({ path: golden('gpt2-qv'), ...from, enableLora: ['perhaps'] })).rejects.toThrow(/not perhaps/)
    await expect(convert({ path: join(gpt2, 'model.safetensors'), ...from })).rejects.toThrow(/is no loralib state/)
    await expect(convert({ path: at('absent.bin'), ...from })).rejects.toMatchObject({ code: 'missing' })
    await expect(convert({ path: golden('gpt2-qv'), from: 'loralib', output })).rejects.toThrow(/needs alpha/)
    const state = await readTorchFile(golden('gpt2-qv'))
    state.delete('transformer.h.1.attn.c_attn.lora_B')
    await writeSafetensors(at('half.safetensors'), state)
    await expect(convert({ path: at('half.safetensors'), ...from })).rejects.toThrow(
      /transformer.h.1.attn.c_attn has lora_A without lora_B/,
    )
    const other = fileURLToPath(new URL('../../test/goldens/models/llama/model', import.meta.url))
    await expect(convert({ path: golden('gpt2-qv'), ...from, model: other })).rejects.toThrow(/c_attn/)
    expect(existsSync(output)).toBe(false)
    writeFileSync(at('occupied'), '')
    await expect(convert({ path: golden('gpt2-qv'), ...from, output: at('occupied') })).rejects.toThrow(/is a file/)
  })

  it('refuses what loralib has no place for', async () => {
    const dora = fileURLToPath(new URL('../../test/goldens/models/llama-dora/adapter', import.meta.url))
    await expect(convert({ path: dora, to: 'loralib', output: at('dora.bin') })).rejects.toThrow(/loralib has no DoRA/)
    await expect(convert({ path: dora, to: 'loralib', output: at('dora') })).rejects.toThrow(/end it with .bin/)
    await expect(convert({ path: dora, to: 'loralib', alpha: 2, output: at('x.bin') })).rejects.toThrow(/says nothing/)
  })
})

describe('inspect', () => {
  it('knows a loralib file, and what it does not hold', async () => {
    const found = await inspect(golden('gpt2-mixed'))
    expect(found).toMatchObject({ kind: 'loralib', tensors: 14, metadata: { format: 'torch, zip' } })
    expect(found.loralib).toMatchObject({ fused: 2, biases: 4, head: [], problems: [] })
    expect(found.loralib?.modules).toEqual(['c_attn × 2', 'c_fc × 2', 'wte × 1'])
    expect(found.loralib?.missing).toHaveLength(3)
    expect((await inspect(golden('whole'))).loralib?.problems).toEqual([expect.stringContaining('adapted layers too')])
  })

  it('lists a torch file, and an adapter folder that has one', async () => {
    const torch = fileURLToPath(new URL('../../test/goldens/torch', import.meta.url))
    const file = await inspect(join(torch, 'module-legacy.bin'))
    expect(file).toMatchObject({ kind: 'torch', tensors: 4, dtype: 'f32', metadata: { format: 'torch, legacy' } })
    await convert({ path: golden('gpt2-qv'), from: 'loralib', alpha: 32, output: at('old') })
    await convert({ path: at('old'), to: 'loralib', output: at('old.bin') })
    rmSync(join(at('old'), 'adapter_model.safetensors'))
    copyFileSync(at('old.bin'), join(at('old'), 'adapter_model.bin'))
    expect(await inspect(at('old'))).toMatchObject({ kind: 'adapter', tensors: 4 })
  })
})

const mnli = sharedPath('data', 'adapters', 'loralib-roberta-mnli', 'roberta_base_lora_mnli.bin')
describe.skipIf(mnli === undefined)('the MNLI adapter of microsoft/LoRA', () => {
  it('is described', async () => {
    const found = await inspect(mnli ?? '')
    expect(found).toMatchObject({ kind: 'loralib', tensors: 52, parameters: 887_811 })
    expect(found.loralib).toMatchObject({ rank: 8, modules: ['query × 12', 'value × 12'], fused: 0, problems: [] })
    expect(found.loralib?.head).toEqual([
      ...['classifier.dense.weight', 'classifier.dense.bias', 'classifier.out_proj.weight', 'classifier.out_proj.bias'],
    ])
  })

  it('becomes a PEFT folder with its head, every update the same', async () => {
    const output = at('mnli')
    await convert({ path: mnli ?? '', from: 'loralib', alpha: 16, output, model: 'roberta-base' })
    const state = await readTorchFile(mnli ?? '')
    const { config, tensors } = await readPeftFolder(output)
    expect(config).toMatchObject({ r: 8, lora_alpha: 16, modules_to_save: ['classifier'], task_type: 'SEQ_CLS' })
    expect(config.target_modules).toHaveLength(24)
    expect(tensors.size).toBe(52)
    for (const [key, held] of tensors) {
      const id = idOfKey(key) ?? key
      const wanted = state.get(id.replace(/(\.lora_[AB])\.weight$/, '$1'))
      expect(held.shape).toEqual(wanted?.shape)
      expect(wanted && furthest(held, wanted)).toBe(0)
    }
    expect(siteScale(config, 'roberta.encoder.layer.0.attention.self.query').scale).toBe(2)
    expect(readFileSync(join(output, 'README.md'), 'utf8')).toContain('roberta_base_lora_mnli.bin')
  })
})

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j] ?? 0
  return out
}
