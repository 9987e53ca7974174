import { describe, expect, it } from 'vitest'
import { parseHfConfig } from '../formats/hf-config.ts'
import type { Model } from '../models/model.ts'
import { modelOf } from '../models/registry.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import { decayRule } from './decay-kinds.ts'
import { layoutFull } from './full-layout.ts'
import { layerDecayRule } from './layer-depth.ts'
import { mixoutOf } from './mixout.ts'
import { groupParameters } from './parameter-groups.ts'

const sizes = { vocab_size: 20, hidden_size: 8, num_hidden_layers: 3, num_attention_heads: 2, intermediate_size: 12 }
const bert: Model = modelOf(
  parseHfConfig({ ...sizes, model_type: 'bert', architectures: ['BertForSequenceClassification'] }, 'config.json'),
)
const llama: Model = modelOf(
  parseHfConfig({ ...sizes, model_type: 'llama', architectures: ['LlamaForCausalLM'] }, 'config.json'),
)
const tensorsOf = (model: Model): readonly AdapterTensor[] => layoutFull(model.modules).tensors

function factors(model: Model): Record<string, number> {
  const { rateFactor } = layerDecayRule(model, 0.5)
  return Object.fromEntries(tensorsOf(model).map((tensor) => [tensor.id, rateFactor(tensor)]))
}

describe('rates by layer', () => {
  it('fall from the head to the embeddings', () => {
    expect(factors(bert)).toMatchObject({
      'classifier.weight': 1,
      'bert.pooler.dense.bias': 1,
      'bert.encoder.layer.2.output.dense.weight': 0.5,
      'bert.encoder.layer.0.attention.self.query.weight': 0.125,
      'bert.embeddings.LayerNorm.weight': 0.0625,
      'bert.embeddings.word_embeddings.weight': 0.0625,
    })
    expect(factors(llama)).toMatchObject({
      'model.norm.weight': 1,
      'lm_head.weight': 1,
      'model.layers.2.mlp.up_proj.weight': 0.5,
      'model.embed_tokens.weight': 0.0625,
    })
  })

  it('are those of the layer that an adapter sits in', () => {
    const { rateFactor } = layerDecayRule(bert, 0.5)
    const at = (module: string): number =>
      rateFactor({ id: `${module}.x`, role: 'lora_A', shape: [1], module, trained: true })
    expect(at('bert.encoder.layer.1.attention.self.query')).toBe(0.25)
    expect(at('bert.encoder.layer.1.attention.output')).toBe(0.25)
  })

  it('make a group each, with what is spared of decay apart', () => {
    const rule = { ...layerDecayRule(bert, 0.5), ...decayRule(bert.modules, ['bias', 'norm']) }
    const groups = groupParameters(tensorsOf(bert), rule)
    expect(groups.map(({ rateFactor, decays }) => `${rateFactor} ${decays}`).sort()).toEqual(
      [1, 0.5, 0.25, 0.125, 0.0625].flatMap((factor) => [`${factor} false`, `${factor} true`]).sort(),
    )
    expect(groups.every(({ pulls }) => !pulls)).toBe(true)
  })
})

describe('kinds without decay', () => {
  const spared = (kinds: Parameters<typeof decayRule>[1]): string[] => {
    const { decays } = decayRule(bert.modules, kinds)
    return tensorsOf(bert).flatMap((tensor) => (decays(tensor) ? [] : [tensor.id]))
  }
  it('are biases, norms, what stands above the layers, embeddings', () => {
    expect(spared([])).toEqual([])
    expect(spared(['bias']).every((id) => id.endsWith('.bias'))).toBe(true)
    expect(spared(['bias'])).toContain('bert.embeddings.LayerNorm.bias')
    expect(spared(['norm']).every((id) => id.includes('LayerNorm'))).toBe(true)
    expect(spared(['head'])).toEqual([
      ...['bert.pooler.dense.weight', 'bert.pooler.dense.bias', 'classifier.weight', 'classifier.bias'],
    ])
    expect(spared(['embedding'])).toEqual(
      ['word', 'position', 'token_type'].map((kind) => `bert.embeddings.${kind}_embeddings.weight`),
    )
  })

  it('count an adapter’s biases, and not what sits at a norm', () => {
    const { decays } = decayRule(bert.modules, ['bias', 'norm'])
    const tensor = (id: string, module: string): AdapterTensor => ({
      ...{ id, module, role: 'own', shape: [1], trained: true },
    })
    expect(decays(tensor('bert.encoder.layer.0.output.adapters.x.adapter_down.0.bias', 'x'))).toBe(false)
    const norm = 'bert.encoder.layer.0.output.LayerNorm'
    expect(decays(tensor(`${norm}.adapter_up.weight`, norm))).toBe(true)
  })
})

describe('mixout', () => {
  it('acts on every linear layer, heads included, and on nothing else', () => {
    const { inputAxes } = mixoutOf(bert.modules, { rate: 0.1, mask: 'element' })
    expect(inputAxes.size).toBe(3 * 6 + 2)
    expect(inputAxes.get('classifier.weight')).toBe(1)
    expect([...inputAxes.keys()].some((name) => /embeddings|LayerNorm/.test(name))).toBe(false)
  })
})
