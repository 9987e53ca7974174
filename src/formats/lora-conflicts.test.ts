import { describe, expect, it } from 'vitest'
import { loraConfig, parsePeftLoraConfig } from './peft-config.ts'
import type { PeftLoraConfig } from './peft-fields.ts'

const refused = (set: Partial<PeftLoraConfig>): unknown => {
  try {
    parsePeftLoraConfig({ ...loraConfig({ target_modules: ['q'], task_type: 'CAUSAL_LM' }), ...set }, 'c.json')
  } catch (error) {
    return error
  }
}

describe('fields that cannot stand together', () => {
  const names = ['q_proj.weight']
  const bad: [Partial<PeftLoraConfig>, keyof PeftLoraConfig, RegExp][] = [
    [{ target_parameters: names, lora_dropout: 0.1 }, 'target_parameters', /lora_dropout/],
    [{ target_parameters: names, fan_in_fan_out: true }, 'target_parameters', /fan_in_fan_out/],
    [{ target_parameters: names, lora_bias: true }, 'target_parameters', /lora_bias/],
    [{ target_parameters: names, use_dora: true }, 'target_parameters', /use_dora/],
    [{ target_parameters: names, alora_invocation_tokens: [1] }, 'target_parameters', /alora/],
    [{ alora_invocation_tokens: [1], use_dora: true }, 'alora_invocation_tokens', /use_dora/],
    [{ alora_invocation_tokens: [1], task_type: 'SEQ_CLS' }, 'alora_invocation_tokens', /CAUSAL_LM/],
    [{ layer_replication: [[0, 2]], bias: 'all' }, 'layer_replication', /bias none/],
    [
      { alora_invocation_tokens: [1], task_type: 'CAUSAL_LM', init_lora_weights: 'olora' },
      'alora_invocation_tokens',
      /changes the base/,
    ],
    [{ layer_replication: [[0, 2]], init_lora_weights: 'pissa' }, 'layer_replication', /changes the base/],
  ]
  it.each(bad)('%j', (set, field, message) => {
    expect(refused(set)).toMatchObject({ code: 'config', field, file: 'c.json', message })
  })

  const wrong: [object, string, RegExp][] = [
    [{ alora_invocation_tokens: [] }, 'alora_invocation_tokens', /at least one token id/],
    [{ alora_invocation_tokens: [-1] }, 'alora_invocation_tokens', /at least 0/],
    [{ alora_invocation_tokens: '<think>' }, 'alora_invocation_tokens', /expected a list/],
    [{ target_parameters: 'q_proj.weight' }, 'target_parameters', /list of parameter names/],
    [{ layer_replication: [[2, 1]] }, 'layer_replication', /\[2, 1\] holds no layer/],
    [{ layer_replication: [[0, 1, 2]] }, 'layer_replication', /pairs/],
    [{ layer_replication: [0, 4] }, 'layer_replication', /pairs/],
    [{ ensure_weight_tying: 1 }, 'ensure_weight_tying', /true or false/],
  ]
  it.each(wrong)('values that mean nothing: %j', (set, field, message) => {
    expect(refused(set as Partial<PeftLoraConfig>)).toMatchObject({ code: 'config', field, message })
  })

  it('lets them stand alone', () => {
    for (const set of [
      { target_parameters: names },
      { alora_invocation_tokens: [1, 2] },
      { layer_replication: [[0, 2]] as const },
    ])
      expect(refused(set)).toBeUndefined()
  })
})
