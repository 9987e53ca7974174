/**
 * @file Parses and writes `adapter_config.json` of LoRA adapters as PEFT does: unknown keys dropped with one warning,
 * missing and null ones default, impossible ones refused by name.
 * Must not know files, models or maths. Source: peft 0.21 `config.py` (from_peft_type, save_pretrained).
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord } from '../support/json.ts'
import { nearest } from '../support/nearest.ts'
import { isHubConfig } from './adapter-config.ts'
import { refuseConflicts } from './lora-conflicts.ts'
import { evaConfig, initName, loftqConfig } from './parse-init.ts'
import {
  type JsonValue,
  LORA_FIELDS,
  type LoraFieldName,
  type PeftLoraConfig,
  TASK_TYPES,
  UNSAVED_FIELDS,
} from './peft-fields.ts'
import { dumpsPython, PythonFloat, type PythonValue } from './python-json.ts'

/** The PEFT whose files these are; written as `peft_version`. */
export const PEFT_VERSION = '0.21.2'

export interface ParsedLoraConfig {
  /** Every field, defaults filled in. */
  config: PeftLoraConfig
  /** The fields the file sets (not null), checked: what a flag may be laid over. */
  given: Partial<PeftLoraConfig>
  /** Keys that PEFT's LoraConfig does not have; `warnings` says so in one sentence. */
  ignored: string[]
  warnings: string[]
}

type Fail = (problem: string, suggestion?: string) => never
type Parser<T> = (value: unknown, fail: Fail) => T

const PARSERS: { readonly [K in LoraFieldName]: Parser<PeftLoraConfig[K]> } = {
  peft_type: (value, fail) => (value === 'LORA' ? value : fail('expected "LORA"')),
  peft_version: text,
  task_type: oneOf(TASK_TYPES),
  base_model_name_or_path: text,
  revision: text,
  auto_mapping: json,
  inference_mode: flag,
  r: whole(1),
  lora_alpha: finite,
  lora_dropout: (value, fail) =>
    typeof value === 'number' && value >= 0 && value < 1 ? value : fail('expected a number from 0 to below 1'),
  target_modules: textOrTexts,
  exclude_modules: textOrTexts,
  rank_pattern: record(whole(1)),
  alpha_pattern: record(finite),
  layers_to_transform: (value, fail) => (Array.isArray(value) ? list(whole(0))(value, fail) : whole(0)(value, fail)),
  layers_pattern: textOrTexts,
  modules_to_save: list(text),
  bias: oneOf(['none', 'all', 'lora_only']),
  fan_in_fan_out: flag,
  use_rslora: flag,
  use_dora: flag,
  lora_bias: flag,
  init_lora_weights: initName,
  trainable_token_indices: (value, fail) =>
    isRecord(value) ? record(list(whole(0)))(value, fail) : list(whole(0))(value, fail),
  ensure_weight_tying: flag,
  target_parameters: (value, fail) =>
    typeof value === 'string' ? fail('expected a list of parameter names') : list(text)(value, fail),
  layer_replication: list(layerRange),
  alora_invocation_tokens: (value, fail) =>
    Array.isArray(value) && value.length === 0 ? fail('expected at least one token id') : list(whole(0))(value, fail),
  loftq_config: loftqConfig,
  eva_config: evaConfig,
  corda_config: json,
  lora_ga_config: json,
  arrow_config: json,
  velora_config: json,
  monteclora_config: json,
  kasa_config: json,
  use_bdlora: json,
  use_qalora: flag,
  qalora_group_size: whole(1),
  megatron_config: json,
  megatron_core: text,
}

/** Every field at PEFT's default, with some set. */
export function loraConfig(set: Partial<PeftLoraConfig> = {}): PeftLoraConfig {
  const fallback = <K extends LoraFieldName>(name: K): PeftLoraConfig[K] => LORA_FIELDS[name].default
  const defaults: Partial<PeftLoraConfig> = {}
  for (const name of fieldNames()) assign(defaults, name, fallback(name))
  return { ...(defaults as PeftLoraConfig), ...set }
}

/**
 * Reads a parsed adapter_config.json. With `partial`, a file of settings (`--lora-config`) that need not name its method.
 * @throws {LowrankError} `format` where it is no object; `config` for impossible values, `unsupported` for fields that are
 * set but not honoured, all of them named with their values.
 */
export function parsePeftLoraConfig(
  json: unknown,
  file: string,
  options: { partial?: boolean } = {},
): ParsedLoraConfig {
  if (!isRecord(json)) throw new LowrankError('format', `${file} is not a JSON object`, { file })
  checkMethod(json, file, options.partial === true)
  const given: Partial<PeftLoraConfig> = {}
  const ignored: string[] = []
  for (const [key, value] of Object.entries(json)) {
    if (Object.hasOwn(UNSAVED_FIELDS, key)) continue
    if (!isFieldName(key)) ignored.push(key)
    else if (value !== null) parseField(given, key, value, file)
    else if (NEVER_NULL.has(key) && options.partial !== true) throw nullField(key, file)
  }
  const config = loraConfig(given)
  refuseUnsupported(config, file)
  // The task of settings is the model's: it is known where they are used.
  const task = options.partial === true && config.task_type === null ? { task_type: 'CAUSAL_LM' as const } : {}
  refuseConflicts({ ...config, ...task }, file)
  return { config, given, ignored, warnings: warnIgnored(ignored, options.partial === true ? fieldNames() : [], file) }
}

/** PEFT computes with these as they stand, and fails on null; all others mean by null that they are not set. */
const NEVER_NULL: ReadonlySet<LoraFieldName> = new Set([
  ...(['r', 'lora_alpha', 'lora_dropout', 'bias', 'rank_pattern', 'alpha_pattern'] as const),
])

function nullField(field: LoraFieldName, file: string): LowrankError {
  const usual = JSON.stringify(LORA_FIELDS[field].default)
  return new LowrankError('config', `${file}: ${field} is null, which PEFT cannot read either`, {
    file,
    field,
    suggestion: `leave it out for ${usual}, or give its value`,
  })
}

/** The text PEFT's save_pretrained writes: 41 keys, sorted; `inference_mode` is always true on disk. */
export function serializePeftLoraConfig(config: PeftLoraConfig): string {
  const saved = { ...config, inference_mode: true, peft_version: config.peft_version ?? PEFT_VERSION }
  const values: Record<string, PythonValue> = {
    ...saved,
    lora_dropout: new PythonFloat(config.lora_dropout),
    loftq_config: { ...config.loftq_config },
    eva_config: config.eva_config && { ...config.eva_config },
  }
  return dumpsPython(values)
}

/**
 * Refuses fields that are set but not honoured, and combinations PEFT refuses: call it again after laying flags over a file.
 * @throws {LowrankError} `unsupported` or `config`.
 */
export function checkLoraConfig(config: PeftLoraConfig, where: string): void {
  refuseUnsupported(config, where)
  refuseConflicts(config, where)
}

function fieldNames(): LoraFieldName[] {
  return Object.keys(LORA_FIELDS).filter(isFieldName)
}

function isFieldName(key: string): key is LoraFieldName {
  return Object.hasOwn(LORA_FIELDS, key)
}

function assign<K extends LoraFieldName>(into: Partial<PeftLoraConfig>, name: K, value: PeftLoraConfig[K]): void {
  into[name] = value
}

function parseField<K extends LoraFieldName>(
  into: Partial<PeftLoraConfig>,
  name: K,
  value: unknown,
  file: string,
): void {
  const fail: Fail = (problem, suggestion) => {
    throw new LowrankError('config', `${file}: ${name} is ${shown(value)}, ${problem}`, {
      file,
      field: name,
      suggestion,
    })
  }
  const parse: Parser<PeftLoraConfig[K]> = PARSERS[name]
  assign(into, name, parse(value, fail))
}

function checkMethod(json: Record<string, unknown>, file: string, partial: boolean): void {
  const method = json.peft_type
  if (method === 'LORA' || (partial && (method === undefined || method === null))) return
  if (isHubConfig(json))
    throw new LowrankError('unsupported', `${file} is of a bottleneck adapter (AdapterHub); this takes LoRA adapters`, {
      ...{ file, field: 'peft_type' },
    })
  if (method === undefined || method === null)
    throw new LowrankError('config', `${file} does not say its peft_type; is it an adapter_config.json of PEFT?`, {
      file,
      field: 'peft_type',
    })
  throw new LowrankError('unsupported', `${file}: peft_type is ${shown(method)}; lowrank reads LORA`, {
    file,
    field: 'peft_type',
  })
}

function refuseUnsupported(config: PeftLoraConfig, file: string): void {
  const set = fieldNames().filter((name) => LORA_FIELDS[name].status === 'refused' && !isUnset(config[name]))
  const [first] = set
  if (first === undefined) return
  const list = set.map((name) => `${name} = ${shown(config[name])} (${LORA_FIELDS[name].why})`).join('; ')
  throw new LowrankError('unsupported', `${file} sets ${list}`, { file, field: first })
}

/** null, false, {} and [] all mean "not used" to PEFT's refused fields. */
function isUnset(value: unknown): boolean {
  return value === null || value === false || (typeof value === 'object' && Object.keys(value).length === 0)
}

function warnIgnored(ignored: string[], nearNames: readonly string[], file: string): string[] {
  if (ignored.length === 0) return []
  const named = ignored.map((key) => {
    const [near] = nearest(key, nearNames)
    return near === undefined ? key : `${key} (did you mean ${near}?)`
  })
  return [`${file}: ignored ${named.sort().join(', ')}, which PEFT's LoraConfig does not have`]
}

function text(value: unknown, fail: Fail): string {
  return typeof value === 'string' ? value : fail('expected text')
}

function flag(value: unknown, fail: Fail): boolean {
  return typeof value === 'boolean' ? value : fail('expected true or false')
}

function finite(value: unknown, fail: Fail): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : fail('expected a finite number')
}

function whole(min: number): Parser<number> {
  return (value, fail) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min
      ? value + 0 // never -0
      : fail(`expected a whole number of at least ${min}`)
}

function list<T>(item: Parser<T>): Parser<T[]> {
  return (value, fail) =>
    Array.isArray(value) ? value.map((one: unknown) => item(one, fail)) : fail('expected a list')
}

function layerRange(value: unknown, fail: Fail): readonly [number, number] {
  const [from, to, more] = list(whole(0))(value, () => fail('expected a list of pairs [from, to] of whole numbers'))
  if (from === undefined || to === undefined || more !== undefined) return fail('expected pairs [from, to]')
  return from < to ? [from, to] : fail(`and [${from}, ${to}] holds no layer`)
}

function textOrTexts(value: unknown, fail: Fail): string | string[] {
  if (typeof value === 'string') return value
  // A set in Python: the order carries no meaning, a repetition neither.
  return Array.isArray(value) ? [...new Set(list(text)(value, fail))] : fail('expected text or a list of texts')
}

function record<T>(item: Parser<T>): Parser<Record<string, T>> {
  return (value, fail) =>
    isRecord(value)
      ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, item(one, fail)]))
      : fail('expected an object')
}

function oneOf<const T extends string>(values: readonly T[]): Parser<T> {
  return (value, fail) => {
    const found = values.find((one) => one === value)
    if (found !== undefined) return found
    const [near] = typeof value === 'string' ? nearest(value, values) : []
    return fail(`expected one of ${values.join(', ')}`, near && `did you mean ${near}?`)
  }
}

/** Carried as it stands: it came out of JSON. */
function json(value: unknown): JsonValue {
  return value as JsonValue
}

function shown(value: unknown): string {
  const whole = JSON.stringify(value) ?? String(value)
  return whole.length > 120 ? `${whole.slice(0, 120)}…` : whole
}
