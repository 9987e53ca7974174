import { describe, expect, it } from 'vitest'
import { type Json, tinyGpt2, tinyLlama } from '../../test/setup/tiny-model.ts'
import { parseHfConfig } from '../formats/hf-config.ts'
import { modelOf } from './registry.ts'
import { replicateLayers } from './replicate.ts'

const open = (config: Json) => modelOf(parseHfConfig(config, 'config.json'))
const four: Json = { ...tinyLlama, num_hidden_layers: 4 }
const qwen: Json = {
  ...four,
  model_type: 'qwen2',
  architectures: ['Qwen2ForCausalLM'],
  use_sliding_window: true,
  sliding_window: 3,
}

describe('layer replication', () => {
  it('names every copy, and gives it the tensors of its original', () => {
    const { model, expand } = replicateLayers(open(four), [
      [0, 3],
      [1, 4],
    ])
    expect(model.config.layers).toBe(6)
    expect(model.modules.filter(({ path }) => path.endsWith('q_proj')).length).toBe(6)
    const files = new Map([0, 1, 2, 3].map((i) => [`model.layers.${i}.mlp.up_proj.weight`, i]))
    files.set('model.norm.weight', 9)
    files.set('model.layers.10.x', 10) // of no layer that is used
    expect([...expand(files)]).toEqual([
      ['model.layers.0.mlp.up_proj.weight', 0],
      ['model.layers.1.mlp.up_proj.weight', 1],
      ['model.layers.3.mlp.up_proj.weight', 1],
      ['model.layers.2.mlp.up_proj.weight', 2],
      ['model.layers.4.mlp.up_proj.weight', 2],
      ['model.layers.5.mlp.up_proj.weight', 3],
      ['model.norm.weight', 9],
    ])
    expect([...expand(new Map([['layers.1.x', 1]])).keys()]).toEqual(['layers.1.x', 'layers.3.x'])
  })

  it('may leave layers out', () => {
    expect(replicateLayers(open(four), [[1, 3]]).model.config.layers).toBe(2)
  })

  it('keeps what each layer sees', () => {
    const kinds = ['full_attention', 'sliding_attention', 'full_attention', 'sliding_attention']
    const { model } = replicateLayers(open({ ...qwen, layer_types: kinds }), [
      [0, 2],
      [3, 4],
    ])
    expect(model.raw.json().layer_types).toEqual(['full_attention', 'sliding_attention', 'sliding_attention'])
    expect(() => replicateLayers(open({ ...qwen, max_window_layers: 2 }), [[0, 2]])).toThrow(/needs layer_types/)
  })

  it.each([
    [four, [[0, 5]], /\[\[0,5\]\] on a model of layers 0 to 3/],
    [four, [], /layers 0 to 3/],
    [tinyGpt2, [[0, 1]], /laid out as Llama's or Bert's, not gpt2's/],
  ] as const)('refuses what it cannot rebuild', (config, ranges, message) => {
    expect(() => replicateLayers(open(config), ranges)).toThrow(message)
  })
})
