import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { sharedPath } from '../../test/setup/shared.ts'
import { LowrankError } from '../support/errors.ts'
import { f32, type HostTensor, tensor } from '../tensor/host-tensor.ts'
import { renderModelCard } from './model-card.ts'
import { loraConfig, parsePeftLoraConfig, serializePeftLoraConfig } from './peft-config.ts'
import { LORA_FIELDS } from './peft-fields.ts'
import { readPeftFolder, writePeftFolder } from './peft-folder.ts'
import { dumpsPython, reprFloat } from './python-json.ts'

const parse = (json: object, options = {}) => parsePeftLoraConfig({ peft_type: 'LORA', ...json }, 'a.json', options)
const refusal = (json: object): LowrankError => {
  try {
    parsePeftLoraConfig(json, 'a.json')
  } catch (error) {
    if (error instanceof LowrankError) return error
  }
  throw new Error('was accepted')
}

describe('dumpsPython', () => {
  it('writes what json.dumps(indent=2, sort_keys=True) writes', () => {
    const value = { b: [1, [], {}], a: { y: 'é"\n\u007f😀', x: null }, c: true, d: 1e-5, e: 0.5 }
    expect(dumpsPython(value)).toBe(
      '{\n  "a": {\n    "x": null,\n    "y": "\\u00e9\\"\\n\\u007f\\ud83d\\ude00"\n  },\n  "b": [\n    1,\n    [],\n    {}\n  ],\n  "c": true,\n  "d": 1e-05,\n  "e": 0.5\n}',
    )
  })

  it.each([
    [0, '0.0'],
    [-0, '-0.0'],
    [1, '1.0'],
    [0.1, '0.1'],
    [0.0001, '0.0001'],
    [0.00001234, '1.234e-05'],
    [1e15, '1000000000000000.0'],
    [1e16, '1e+16'],
    [1.5e300, '1.5e+300'],
    [5e-324, '5e-324'],
  ])('writes the float %d as repr does', (value, text) => {
    expect(reprFloat(value)).toBe(text)
  })
})

describe('parsePeftLoraConfig', () => {
  it('fills in the defaults of PEFT', () => {
    const { config, given } = parse({ target_modules: ['q_proj', 'q_proj'] })
    expect(config).toMatchObject({ r: 8, lora_alpha: 8, lora_dropout: 0, bias: 'none', init_lora_weights: true })
    expect(config.target_modules).toEqual(['q_proj'])
    expect(given).toEqual({ peft_type: 'LORA', target_modules: ['q_proj'] })
    expect(Object.keys(config).sort()).toEqual(Object.keys(LORA_FIELDS).sort())
  })

  it('takes null as not set, drops unknown keys with one warning', () => {
    const { config, ignored, warnings } = parse({ use_dora: null, new_b: 1, new_a: 2, runtime_config: {} })
    expect(config.use_dora).toBe(false)
    expect(ignored).toEqual(['new_b', 'new_a'])
    expect(warnings).toEqual(["a.json: ignored new_a, new_b, which PEFT's LoraConfig does not have"])
    expect(parsePeftLoraConfig({ r: null }, 's.json', { partial: true }).config.r).toBe(8)
  })

  it('reads settings without a method, and names the nearest key there', () => {
    const { given, warnings } = parsePeftLoraConfig({ lora_alfa: 4, layers_to_transform: 0 }, 's.json', {
      partial: true,
    })
    expect(given).toEqual({ layers_to_transform: 0 })
    expect(warnings[0]).toMatch(/lora_alfa \(did you mean lora_alpha\?\)/)
  })

  const bad: [object, string, string, RegExp][] = [
    [{ r: 0 }, 'config', 'r', /r is 0, expected a whole number of at least 1/],
    [{ r: 2.5 }, 'config', 'r', /whole number/],
    [{ lora_alpha: '16' }, 'config', 'lora_alpha', /finite number/],
    [{ lora_dropout: 1 }, 'config', 'lora_dropout', /from 0 to below 1/],
    [{ bias: 'al' }, 'config', 'bias', /none, all, lora_only/],
    [{ task_type: 'CAUSAL' }, 'config', 'task_type', /CAUSAL_LM/],
    [{ target_modules: [1] }, 'config', 'target_modules', /expected text/],
    [{ modules_to_save: 'lm_head' }, 'config', 'modules_to_save', /expected a list/],
    [{ rank_pattern: { q: 0 } }, 'config', 'rank_pattern', /at least 1/],
    [{ trainable_token_indices: [-1] }, 'config', 'trainable_token_indices', /at least 0/],
    [{ init_lora_weights: 'corda' }, 'config', 'init_lora_weights', /"corda", .*CorDA needs a covariance file/],
    [{ init_lora_weights: 'gausian' }, 'config', 'init_lora_weights', /expected true, false or gaussian/],
    [{ target_modules: 'q.*', layers_to_transform: [1] }, 'config', 'layers_to_transform', /regular expression/],
    [{ layers_pattern: 'h' }, 'config', 'layers_pattern', /needs layers_to_transform/],
    [{ lora_bias: true, use_dora: true }, 'config', 'lora_bias', /use_dora/],
    [{ lora_bias: true, init_lora_weights: 'gaussian' }, 'config', 'lora_bias', /gaussian/],
    [{ peft_type: 'IA3' }, 'unsupported', 'peft_type', /peft_type is "IA3"; lowrank reads LORA/],
    [{ peft_type: null }, 'config', 'peft_type', /does not say its peft_type/],
    [
      { kasa_config: { beta: 1 }, use_qalora: true },
      'unsupported',
      'kasa_config',
      /kasa_config = \{"beta":1\} \(.*use_qalora = true/,
    ],
  ]
  it.each(bad)('refuses %j', (json, code, field, message) => {
    expect(refusal({ peft_type: 'LORA', ...json })).toMatchObject({ code, field, file: 'a.json', message })
  })

  it('refuses every field it does not honour, by name, when it is set', () => {
    for (const [name, { status, default: fallback }] of Object.entries(LORA_FIELDS)) {
      if (status !== 'refused') continue
      const value = typeof fallback === 'boolean' ? true : { x: 1 }
      expect(refusal({ peft_type: 'LORA', [name]: value })).toMatchObject({ code: 'unsupported', field: name })
      expect(parse({ [name]: null }).ignored).toEqual([])
    }
  })

  it('does not take keys of Object.prototype for fields', () => {
    expect(parse(JSON.parse('{"__proto__": {"r": 4}, "constructor": 1}')).ignored).toEqual(['__proto__', 'constructor'])
  })
})

describe('renderModelCard', () => {
  it('has the front matter of PEFT', () => {
    const config = loraConfig({
      base_model_name_or_path: 'org/m-1',
      task_type: 'CAUSAL_LM',
      target_modules: ['a', 'b'],
    })
    const card = renderModelCard({ config, facts: [['Loss | best', '1\n2']] })
    expect(parseYaml(card.split('---\n')[1] ?? '')).toEqual({
      base_model: 'org/m-1',
      library_name: 'peft',
      pipeline_tag: 'text-generation',
      tags: ['base_model:adapter:org/m-1', 'lora', 'transformers'],
    })
    expect(card).toContain('| Loss \\| best | 1 2 |')
  })

  it.each(['true', '123', 'a: b', "it's", '- x', '/a b/#c', './m'])(
    'quotes a base named %s where YAML needs it',
    (base) => {
      const front = parseYaml(
        renderModelCard({ config: loraConfig({ base_model_name_or_path: base }) }).split('---\n')[1] ?? '',
      )
      expect(front.base_model).toBe(base)
    },
  )
})

describe('an adapter folder', () => {
  let folder = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-peft-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('comes back as it was written, half floats widened', async () => {
    const config = loraConfig({ r: 2, target_modules: ['q'], lora_dropout: 0.05, rank_pattern: { k: 4 } })
    const half: HostTensor = tensor('bf16', [1], Uint16Array.of(0x3f80))
    await writePeftFolder(folder, {
      config,
      tensors: new Map([['x.lora_A.weight', half]]),
      card: renderModelCard({ config }),
    })
    expect((await readdir(folder)).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors'])
    const read = await readPeftFolder(folder)
    expect(read.config).toEqual({ ...config, inference_mode: true, peft_version: '0.21.2' })
    expect(read.tensors).toEqual(new Map([['x.lora_A.weight', f32([1], [1])]]))
  })

  it('names what is missing, and what is no torch file', async () => {
    await expect(readPeftFolder(join(folder, 'x'))).rejects.toThrow(/no adapter folder/)
    await expect(readPeftFolder(folder)).rejects.toThrow(/has no adapter_config.json/)
    await writeFile(join(folder, 'adapter_config.json'), '{"peft_type":"LORA"}')
    await expect(readPeftFolder(folder)).rejects.toMatchObject({
      code: 'missing',
      message: /adapter_model.safetensors/,
    })
    await writeFile(join(folder, 'adapter_model.bin'), '')
    await expect(readPeftFolder(folder)).rejects.toMatchObject({
      code: 'format',
      message: /adapter_model.bin is no torch file/,
    })
  })
})

const cases = sharedPath('conformance/cases')
describe.skipIf(cases === undefined)('adapters that PEFT wrote', () => {
  it('have their configuration written back byte for byte', async () => {
    let compared = 0
    for (const name of await readdir(cases ?? '')) {
      const file = join(cases ?? '', name, 'adapter/adapter_config.json')
      const text = await readFile(file, 'utf8')
      expect(serializePeftLoraConfig(parsePeftLoraConfig(JSON.parse(text), file).config)).toBe(text)
      compared++
    }
    expect(compared).toBeGreaterThan(20)
  })
})
