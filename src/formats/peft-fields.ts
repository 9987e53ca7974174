/**
 * @file Every field of PEFT's LoraConfig: its type, its default, and whether lowrank honours, refuses or ignores it.
 * Must not know files or maths. Source: peft 0.21 `tuners/lora/config.py`, `config.py`.
 */
import { type EvaConfig, INIT_NAMES, type InitName, type LoftqConfig } from './lora-init.ts'

/** Tasks PEFT knows. */
export const TASK_TYPES = [
  'SEQ_CLS',
  'SEQ_2_SEQ_LM',
  'CAUSAL_LM',
  'TOKEN_CLS',
  'QUESTION_ANS',
  'FEATURE_EXTRACTION',
] as const
export type TaskType = (typeof TASK_TYPES)[number]

/** A value as JSON holds it, for fields that lowrank only carries. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue }

/** `adapter_config.json` of a LoRA adapter, under PEFT's own names. */
export interface PeftLoraConfig {
  peft_type: 'LORA'
  peft_version: string | null
  task_type: TaskType | null
  base_model_name_or_path: string | null
  revision: string | null
  auto_mapping: JsonValue
  inference_mode: boolean
  r: number
  lora_alpha: number
  lora_dropout: number
  /** A list of names or name endings, a regular expression over whole names, or "all-linear"; null: PEFT's choice for the model type. */
  target_modules: string | readonly string[] | null
  exclude_modules: string | readonly string[] | null
  rank_pattern: Readonly<Record<string, number>>
  alpha_pattern: Readonly<Record<string, number>>
  layers_to_transform: number | readonly number[] | null
  layers_pattern: string | readonly string[] | null
  modules_to_save: readonly string[] | null
  bias: 'none' | 'all' | 'lora_only'
  fan_in_fan_out: boolean
  use_rslora: boolean
  use_dora: boolean
  lora_bias: boolean
  init_lora_weights: boolean | InitName
  trainable_token_indices: readonly number[] | Readonly<Record<string, readonly number[]>> | null
  ensure_weight_tying: boolean
  /** Parameters by full name or its end (`q_proj.weight`) that get an update of their own, whatever module they belong to. */
  target_parameters: readonly string[] | null
  /** Ranges [from, to) of layers that the stack is rebuilt from. */
  layer_replication: readonly (readonly [from: number, to: number])[] | null
  /** The adapter acts from the last occurrence of these token ids on. */
  alora_invocation_tokens: readonly number[] | null
  /** With init "loftq". */
  loftq_config: LoftqConfig
  /** With init "eva". */
  eva_config: EvaConfig | null
  corda_config: JsonValue
  lora_ga_config: JsonValue
  arrow_config: JsonValue
  velora_config: JsonValue
  monteclora_config: JsonValue
  kasa_config: JsonValue
  use_bdlora: JsonValue
  use_qalora: boolean
  qalora_group_size: number
  megatron_config: JsonValue
  megatron_core: string | null
}
export type LoraFieldName = keyof PeftLoraConfig

/** honoured: changes what is computed; refused: an error unless it has its default; ignored: carried, changes nothing here. */
export type FieldStatus = 'honoured' | 'refused' | 'ignored'

export interface LoraField<T> {
  default: T
  status: FieldStatus
  /** One phrase for docs and errors: what it does, or why it is not honoured. */
  why: string
}

const honoured = <T>(value: T, why: string): LoraField<T> => ({ default: value, status: 'honoured', why })
const refused = <T>(value: T, why: string): LoraField<T> => ({ default: value, status: 'refused', why })
const ignored = <T>(value: T, why: string): LoraField<T> => ({ default: value, status: 'ignored', why })

/** The table that parsing, refusing and the docs come from. */
export const LORA_FIELDS: { readonly [K in LoraFieldName]: LoraField<PeftLoraConfig[K]> } = {
  peft_type: honoured('LORA', 'the method'),
  peft_version: ignored(null, 'the version that wrote the file'),
  task_type: honoured(null, 'the task; classifiers add their head to modules_to_save'),
  base_model_name_or_path: honoured(null, 'the base the adapter was trained on'),
  revision: ignored(null, 'revision of the base; the base is named by --model'),
  auto_mapping: ignored(null, 'Python class of the base, for AutoPeftModel'),
  inference_mode: ignored(false, 'always true on disk'),
  r: honoured(8, 'rank'),
  lora_alpha: honoured(8, 'scale is alpha / r, or alpha / √r with use_rslora'),
  lora_dropout: honoured(0, 'dropout on the input of A'),
  target_modules: honoured(null, 'modules that get an adapter'),
  exclude_modules: honoured(null, 'modules that get none'),
  rank_pattern: honoured({}, 'rank by module name'),
  alpha_pattern: honoured({}, 'alpha by module name'),
  layers_to_transform: honoured(null, 'layers whose modules get an adapter'),
  layers_pattern: honoured(null, 'name of the list of layers'),
  modules_to_save: honoured(null, 'modules trained and saved in full'),
  bias: honoured('none', 'biases trained and saved'),
  fan_in_fan_out: honoured(false, 'weight stored [in, out], as GPT-2 has it'),
  use_rslora: honoured(false, 'scale by √r'),
  use_dora: honoured(false, 'magnitude and direction apart'),
  lora_bias: honoured(false, 'a bias on B'),
  init_lora_weights: honoured(true, `true, false, ${INIT_NAMES.join(', ').replace('niter_4', 'niter_N')}`),
  trainable_token_indices: honoured(null, 'rows of the embedding that are trained'),
  ensure_weight_tying: honoured(false, 'one adapter, or one trained copy, for an embedding and the head tied to it'),
  target_parameters: honoured(null, 'two-dimensional parameters, by name, that get an update'),
  layer_replication: honoured(null, 'the stack rebuilt from ranges of its layers, each copy with its own update'),
  alora_invocation_tokens: honoured(null, 'activated LoRA: acts from the last occurrence of these tokens on'),
  loftq_config: honoured({}, 'with init loftq: `loftq_bits` (4) and `loftq_iter`'),
  eva_config: honoured(null, 'with init eva: `rho`, `tau`, `use_label_mask`, `whiten`, `adjust_scaling_factors`'),
  corda_config: refused(null, 'CorDA: starts from covariances that PEFT collects in a step of its own'),
  lora_ga_config: refused(null, 'LoRA-GA: starts from gradients of the whole base'),
  arrow_config: refused(null, 'Arrow: routes each token between several adapters'),
  velora_config: refused(
    null,
    'VeLoRA: compresses the activations that gradients are made of, so they are not the gradients',
  ),
  monteclora_config: refused(null, 'MonteCLoRA: draws the adapter anew at each step'),
  kasa_config: refused(null, 'KaSA: cuts the smallest singular values out of the base, which is then another base'),
  use_bdlora: refused(null, 'BD-LoRA: factors in blocks, for tensor-parallel servers'),
  use_qalora: refused(false, 'QALoRA: needs a base quantised by GPTQ'),
  qalora_group_size: ignored(16, 'used with use_qalora only'),
  megatron_config: refused(null, 'layers of Megatron, which Hugging Face models do not have'),
  megatron_core: ignored('megatron.core', 'used with megatron_config only'),
}

/** Fields that LoraConfig has and no file: settings of one process, which PEFT neither saves nor reads. */
export const UNSAVED_FIELDS: Readonly<Record<string, string>> = {
  runtime_config: 'settings of one process, which PEFT neither saves nor reads; dropped without a warning',
}
