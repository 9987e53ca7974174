/**
 * @file Fields of a LoraConfig that cannot stand together, as `LoraConfig.__post_init__` and PEFT's layers refuse them.
 * Must not know files, models or maths. Source: peft 0.21 `tuners/lora/config.py`, `layer.py` (ParamWrapper, variants).
 */
import { LowrankError } from '../support/errors.ts'
import { changesBase } from './lora-init.ts'
import type { LoraFieldName, PeftLoraConfig } from './peft-fields.ts'

type Rule = readonly [field: LoraFieldName, broken: (config: PeftLoraConfig) => boolean, problem: string]

/** "all-linear" is expanded to a list before layers are looked at, so it may meet them. */
const isExpression = ({ target_modules: targets }: PeftLoraConfig): boolean =>
  typeof targets === 'string' && targets.toLowerCase() !== 'all-linear'
const hasParameters = ({ target_parameters: names }: PeftLoraConfig): boolean => names !== null && names.length > 0
const isActivated = ({ alora_invocation_tokens: tokens }: PeftLoraConfig): boolean => tokens !== null

const RULES: readonly Rule[] = [
  [
    'layers_to_transform',
    (c) => isExpression(c) && c.layers_to_transform !== null,
    'layers_to_transform cannot be used with a regular expression in target_modules',
  ],
  [
    'layers_pattern',
    (c) => isExpression(c) && c.layers_pattern !== null,
    'layers_pattern cannot be used with a regular expression in target_modules',
  ],
  [
    'layers_pattern',
    (c) => c.layers_pattern !== null && c.layers_pattern.length > 0 && c.layers_to_transform === null,
    'layers_pattern needs layers_to_transform',
  ],
  ['lora_bias', (c) => c.lora_bias && c.use_dora, 'lora_bias cannot be used with use_dora'],
  // The update of a parameter is added to the weight itself: there is no input of A to drop and no output of B to shift.
  [
    'target_parameters',
    (c) => hasParameters(c) && c.lora_dropout !== 0,
    'target_parameters cannot be used with lora_dropout: the update is added to the weight, so A has no input to drop',
  ],
  [
    'target_parameters',
    (c) => hasParameters(c) && c.fan_in_fan_out,
    'target_parameters cannot be used with fan_in_fan_out',
  ],
  ['target_parameters', (c) => hasParameters(c) && c.lora_bias, 'target_parameters cannot be used with lora_bias'],
  ['target_parameters', (c) => hasParameters(c) && c.use_dora, 'target_parameters cannot be used with use_dora'],
  [
    'target_parameters',
    (c) => hasParameters(c) && isActivated(c),
    'target_parameters cannot be used with alora_invocation_tokens: a weight is the same for every token',
  ],
  [
    'alora_invocation_tokens',
    (c) => isActivated(c) && c.use_dora,
    'alora_invocation_tokens cannot be used with use_dora',
  ],
  [
    'alora_invocation_tokens',
    (c) => isActivated(c) && changesBase(c.init_lora_weights),
    'alora_invocation_tokens cannot be used with a start that changes the base (pissa, olora, loftq): tokens before the ' +
      'invocation would see the change',
  ],
  [
    'alora_invocation_tokens',
    (c) => isActivated(c) && c.task_type !== 'CAUSAL_LM',
    'alora_invocation_tokens needs task_type CAUSAL_LM: elsewhere PEFT never activates the adapter',
  ],
  [
    'layer_replication',
    (c) => c.layer_replication !== null && c.bias !== 'none',
    'layer_replication needs bias none: the copies of a layer share their biases',
  ],
  [
    'layer_replication',
    (c) => c.layer_replication !== null && changesBase(c.init_lora_weights),
    'layer_replication cannot be used with an init that changes the base: PEFT takes each copy’s start out of one weight',
  ],
]

/** @throws {LowrankError} `config` naming the first field that cannot stand with another. */
export function refuseConflicts(config: PeftLoraConfig, file: string): void {
  const fail = (field: LoraFieldName, problem: string): never => {
    throw new LowrankError('config', `${file}: ${problem}`, { file, field })
  }
  for (const [field, broken, problem] of RULES) if (broken(config)) fail(field, problem)
  if (config.lora_bias && typeof config.init_lora_weights === 'string')
    fail('lora_bias', `lora_bias needs init_lora_weights true or false, not "${config.init_lora_weights}"`)
}
