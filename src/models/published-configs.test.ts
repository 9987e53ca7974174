/**
 * @file The config.json of published models, field for field, LongRoPE's factors made up: a reader that refuses one
 * of them has lost its purpose. Parameters are the published number, rounded.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseHfConfig } from '../formats/hf-config.ts'
import { modelOf } from './registry.ts'

const file = new URL('../../test/goldens/published-configs.json', import.meta.url)
const published: Record<string, { config: object; parameters: number }> = JSON.parse(readFileSync(file, 'utf8'))

function parametersOf(config: object): number {
  const { modules } = modelOf(parseHfConfig(config, 'config.json'))
  return modules
    .flatMap(({ tiedTo, parameters }) => parameters.filter(({ name }) => !(tiedTo !== undefined && name === 'weight')))
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
}

describe('config.json of published models', () => {
  it.each(Object.entries(published))('%s opens with its number of parameters', (_, { config, parameters }) => {
    expect(parametersOf(config) / parameters).toBeCloseTo(1, 2)
  })

  it.each([
    ['HuggingFaceTB/SmolLM2-135M', 'rope_interleaved', { rope_interleaved: true }],
    ['openai-community/gpt2', 'add_cross_attention', { add_cross_attention: true }],
    ['google/gemma-2-2b', 'use_bidirectional_attention', { use_bidirectional_attention: true }],
    ['google/gemma-3-1b-it', 'rope_scaling.mrope_section', { rope_scaling: { factor: 8, mrope_section: [1, 2] } }],
    ['microsoft/Phi-4-mini-instruct', 'full_attn_mod', { full_attn_mod: 2 }],
    ['microsoft/Phi-3.5-mini-instruct', 'rope_scaling.rope_type', { rope_scaling: { type: 'yarn', factor: 2 } }],
    ['EleutherAI/pythia-160m', 'is_decoder', { is_decoder: true }],
    ['facebook/galactica-125m', 'scale_embeddings', { scale_embeddings: true }],
    ['facebook/opt-125m', 'layerdrop', { layerdrop: 0.1 }],
  ])('%s is refused for its %s', (name, field, change) => {
    expect(() => parametersOf({ ...published[name]?.config, ...change })).toThrow(expect.objectContaining({ field }))
  })
})
