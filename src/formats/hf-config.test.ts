import { join } from 'node:path'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { sharedPath } from '../../test/setup/shared.ts'
import { readJson } from '../support/files.ts'
import { parseGenerationConfig } from './generation-config.ts'
import { parseHfConfig } from './hf-config.ts'
import { ropeParameters } from './rope-parameters.ts'

const read = (json: object) => parseHfConfig(json, 'config.json')
const error = (json: object, ask: (config: ReturnType<typeof read>) => unknown): unknown => {
  try {
    ask(read(json))
  } catch (caught) {
    return caught
  }
  throw new Error('was accepted')
}

describe('HfConfig', () => {
  it('gives typed values and treats null as absent', () => {
    const config = read({ a: 3, b: 0.5, c: true, d: 'gelu', e: 2, f: [1, 2], g: null })
    expect(config.int('a', { min: 1 })).toBe(3)
    expect(config.number('b')).toBe(0.5)
    expect(config.boolean('c', { default: false })).toBe(true)
    expect(config.oneOf('d', ['relu', 'gelu'])).toBe('gelu')
    expect([config.ints('e'), config.ints('f')]).toEqual([[2], [1, 2]])
    expect(config.int('g', { default: undefined })).toBeUndefined()
    expect(config.int('h', { default: 7 })).toBe(7)
    expectTypeOf(config.int('a')).toEqualTypeOf<number>()
    expectTypeOf(config.int('a', { default: undefined })).toEqualTypeOf<number | undefined>()
    expectTypeOf(config.oneOf('d', ['relu', 'gelu'])).toEqualTypeOf<'relu' | 'gelu'>()
  })

  it('names file, field and what was expected', () => {
    expect(error({ a: 0 }, (c) => c.int('a', { min: 1 }))).toMatchObject({
      code: 'config',
      file: 'config.json',
      field: 'a',
      message: 'config.json: a is 0, expected at least 1',
    })
    expect(error({ a: 1.5 }, (c) => c.int('a'))).toMatchObject({ message: /a is 1.5, expected a whole number/ })
    expect(error({ a: '3' }, (c) => c.int('a'))).toMatchObject({ message: /a is "3"/ })
    expect(error({ a: 1 }, (c) => c.boolean('a'))).toMatchObject({ message: /true or false/ })
    expect(error({ a: [1, 'x'] }, (c) => c.ints('a'))).toMatchObject({ message: /a list of them/ })
    expect(error({ hiden_size: 1 }, (c) => c.int('hidden_size'))).toMatchObject({
      message: /hidden_size is missing/,
      suggestion: 'there is a field hiden_size',
    })
    expect(error({ act: 'gelu_nwe' }, (c) => c.oneOf('act', ['gelu_new', 'silu']))).toMatchObject({
      message: /act is "gelu_nwe"; lowrank knows gelu_new, silu/,
      suggestion: 'did you mean gelu_new?',
    })
    expect(error({ r: { x: 'y' } }, (c) => c.object('r')?.number('x'))).toMatchObject({ field: 'r.x' })
  })

  it('tells which fields nobody read, nested ones too, harmless ones not', () => {
    const config = read({ a: 1, b: 2, n: null, torch_dtype: 'float16', use_cache: true, o: { p: 1, q: 2 } })
    config.int('a')
    config.object('o')?.int('p')
    expect(config.unread()).toEqual(['b', 'o.q'])
  })

  it('refuses fields outside the one value it computes, all of them by name with value', () => {
    const known = { pretraining_tp: 1, clip_qkv: null, scale_attn_weights: true }
    read({ pretraining_tp: 1, scale_attn_weights: true }).require(known)
    expect(error({ pretraining_tp: 2, clip_qkv: 8 }, (c) => c.require(known))).toMatchObject({
      code: 'unsupported',
      message: /pretraining_tp = 2, clip_qkv = 8/,
    })
  })

  it('refuses quantized weights and what is no object', () => {
    expect(() => read({ quantization_config: { quant_method: 'gptq' } })).toThrow(/quantized \(gptq\)/)
    expect(() => parseHfConfig([], 'config.json')).toThrow(/not a JSON object/)
  })

  it('knows both spellings of the storage type', () => {
    expect([read({ dtype: 'bfloat16' }).dtype(), read({ torch_dtype: 'float16' }).dtype()]).toEqual(['bf16', 'f16'])
    expect(read({ torch_dtype: 'auto' }).dtype()).toBeUndefined()
  })
})

describe('ropeParameters', () => {
  const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 }

  it('reads the spellings of transformers 4 and 5 alike', () => {
    const old = ropeParameters(read({ rope_theta: 5e5, rope_scaling: { type: 'llama3', ...llama3 } }))
    const now = ropeParameters(read({ rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, ...llama3 } }))
    for (const rope of [old, now]) {
      expect(rope.oneOf('rope_type', ['default', 'llama3'])).toBe('llama3')
      expect(rope.number('rope_theta')).toBe(5e5)
      expect(rope.int('original_max_position_embeddings')).toBe(32)
    }
  })

  it('gives the plain type where a config says nothing', () => {
    const config = read({ rope_scaling: null, rope_theta: 1e4, partial_rotary_factor: 0.25 })
    const rope = ropeParameters(config)
    expect([rope.string('rope_type'), rope.number('rope_theta')]).toEqual(['default', 1e4])
    expect(rope.number('partial_rotary_factor')).toBe(0.25)
    expect(config.unread()).toEqual([])
  })

  it('takes the trained length from outside the section, else from the model', () => {
    const outside = read({
      max_position_embeddings: 64,
      original_max_position_embeddings: 16,
      rope_scaling: { type: 'su' },
    })
    expect(ropeParameters(outside).int('original_max_position_embeddings')).toBe(16)
    expect(ropeParameters(outside).string('rope_type')).toBe('longrope')
    const model = read({ max_position_embeddings: 64, rope_scaling: { rope_type: 'yarn', factor: 2 } })
    expect(ropeParameters(model).int('original_max_position_embeddings')).toBe(64)
  })

  it('keeps settings per layer type apart and names the section as the file does', () => {
    const sections = {
      full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
      sliding_attention: { rope_theta: 1e4 },
    }
    const rope = ropeParameters(read({ rope_parameters: sections }))
    expect(rope.object('sliding_attention')?.string('rope_type')).toBe('default')
    expect(rope.object('full_attention')?.number('rope_theta')).toBe(1e6)
    expect(error({ rope_scaling: { factor: 'x' } }, (c) => ropeParameters(c).number('factor'))).toMatchObject({
      field: 'rope_scaling.factor',
    })
  })
})

describe('parseGenerationConfig', () => {
  it('reads lists and single tokens, and falls back on the model', () => {
    expect(
      parseGenerationConfig({ eos_token_id: [2, 5], temperature: 0.6, top_p: 0.9, do_sample: true }, 'g'),
    ).toMatchObject({
      eosTokenIds: [2, 5],
      temperature: 0.6,
      topP: 0.9,
      doSample: true,
      topK: undefined,
    })
    const model = read({ eos_token_id: 7, bos_token_id: 1 })
    expect(parseGenerationConfig(undefined, 'g', model)).toMatchObject({ eosTokenIds: [7], bosTokenId: 1 })
    expect(() => parseGenerationConfig({ top_p: 2 }, 'g.json')).toThrow('g.json: top_p is 2, expected 0 to 1')
  })
})

const cases = sharedPath('conformance/cases')
describe.skipIf(cases === undefined)('configs that transformers wrote', () => {
  it.each(['llama3-rope', 'llama-yarn', 'gpt2', 'gemma3', 'phi3-longrope'])('reads %s', async (name) => {
    const file = join(cases ?? '', name, 'model/config.json')
    const config = parseHfConfig(await readJson(file), file)
    expect(config.string('model_type')).not.toBe('')
    expect(config.int('vocab_size', { min: 1 })).toBe(320)
    expect(config.dtype()).toBe('f32')
    if (name.startsWith('llama')) expect(ropeParameters(config).number('rope_theta')).toBe(10000)
    const generation = join(cases ?? '', name, 'model/generation_config.json')
    expect(parseGenerationConfig(await readJson(generation), generation, config).eosTokenIds).toEqual([2])
  })
})
