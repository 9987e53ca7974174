/**
 * @file Reads a Hugging Face `config.json` field by field, naming file and field in every error, and remembers which
 * fields were read, so that a model can refuse what it does not honour.
 * Must not know any model family: fields, defaults and maths belong to the model files.
 * Source: transformers `PreTrainedConfig` (versions 4 and 5).
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord } from '../support/json.ts'
import { nearest } from '../support/nearest.ts'

/** An absent (or null) field gives `default`; without one it is required. */
export interface Fallback<D> {
  default?: D
}
export interface Bounds {
  min?: number
  max?: number
}

/** Fields that say nothing about the maths of a forward pass: never reported as unread. */
const HARMLESS = new Set(
  `_attn_implementation _attn_implementation_autoset _flash_attn_2_enabled _name_or_path _num_labels _commit_hash architectures
  auto_map bad_words_ids begin_suppress_tokens bos_token_id cache_implementation chunk_size_feed_forward cls_token_id custom_pipelines decoder_start_token_id
  diversity_penalty do_sample dtype early_stopping encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty
  finetuning_task forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label initializer_range is_llama_config keys_to_ignore_at_inference
  label2id length_penalty max_length max_position_embeddings min_length model_type no_repeat_ngram_size num_beam_groups num_beams
  num_return_sequences output_attentions output_hidden_states output_scores pad_token_id prefix problem_type remove_invalid_values
  repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens task_specific_params temperature
  tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript transformers.js_config transformers_version typical_p unsloth_fixed unsloth_version
  use_bfloat16 use_cache`.split(/\s+/),
)

const DTYPES: Record<string, 'f32' | 'f16' | 'bf16'> = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' }

/** One object of a config file: the file itself, or an object inside it. */
export class HfConfig {
  readonly file: string
  readonly #values: Readonly<Record<string, unknown>>
  readonly #prefix: string
  readonly #read = new Set<string>()
  readonly #children = new Map<string, HfConfig>()

  /** @param prefix path of this object inside the file, for errors: "rope_parameters." */
  constructor(values: Readonly<Record<string, unknown>>, file: string, prefix = '') {
    this.file = file
    this.#values = values
    this.#prefix = prefix
  }

  /** Whether the field is there and not null. Does not count as reading it. */
  has(field: string): boolean {
    return Object.hasOwn(this.#values, field) && this.#values[field] !== null
  }

  /** The whole object as the file has it, to be written out again. Counts as reading nothing. */
  json(): Readonly<Record<string, unknown>> {
    return this.#values
  }

  /** A field as it stands; undefined where absent or null. Counts as read. */
  value(field: string): unknown {
    this.#read.add(field)
    return this.has(field) ? this.#values[field] : undefined
  }

  /** A whole number. @throws {LowrankError} `config`. */
  int<D = never>(field: string, options: Bounds & Fallback<D> = {}): number | D {
    return this.#typed(field, options, (value) => {
      if (!Number.isSafeInteger(value)) return 'a whole number'
      return outside(Number(value), options)
    })
  }

  /** A finite number. @throws {LowrankError} `config`. */
  number<D = never>(field: string, options: Bounds & Fallback<D> = {}): number | D {
    return this.#typed(field, options, (value) => {
      if (!Number.isFinite(value)) return 'a finite number'
      return outside(Number(value), options)
    })
  }

  /** True or false. @throws {LowrankError} `config`. */
  boolean<D = never>(field: string, options: Fallback<D> = {}): boolean | D {
    return this.#typed(field, options, (value) => (typeof value === 'boolean' ? undefined : 'true or false'))
  }

  string<D = never>(field: string, options: Fallback<D> = {}): string | D {
    return this.#typed(field, options, (value) => (typeof value === 'string' ? undefined : 'text'))
  }

  /** One of the values a model honours; another is refused by name with the nearest. @throws {LowrankError} `config`. */
  oneOf<const T extends string, D = never>(field: string, values: readonly T[], options: Fallback<D> = {}): T | D {
    const found = this.string(field, { default: undefined })
    if (found === undefined) return this.#absent(field, options)
    const known = values.find((value) => value === found)
    if (known !== undefined) return known
    const [near] = nearest(found, values)
    throw this.fault(field, `is "${found}"; lowrank knows ${values.join(', ')}`, near && `did you mean ${near}?`)
  }

  /** A whole number or a list of them, as a list. @throws {LowrankError} `config`. */
  ints<D = never>(field: string, options: Bounds & Fallback<D> = {}): number[] | D {
    return this.#list(field, options, Number.isSafeInteger, 'a whole number or a list of them')
  }

  /** A list of finite numbers. @throws {LowrankError} `config`. */
  numbers<D = never>(field: string, options: Bounds & Fallback<D> = {}): number[] | D {
    return this.#list(field, options, Number.isFinite, 'a list of finite numbers')
  }

  /** A list of text. @throws {LowrankError} `config`. */
  strings<D = never>(field: string, options: Fallback<D> = {}): string[] | D {
    return this.#typed(field, options, (value) =>
      Array.isArray(value) && value.every((item) => typeof item === 'string') ? undefined : 'a list of texts',
    )
  }

  /** An object inside, with the same getters; its unread fields count as this one's. Undefined where absent. */
  object(field: string): HfConfig | undefined {
    const value = this.value(field)
    if (value === undefined) return undefined
    if (!isRecord(value)) throw this.fault(field, `is ${shown(value)}, not an object`)
    const child = this.#children.get(field) ?? new HfConfig(value, this.file, `${this.#prefix}${field}.`)
    this.#children.set(field, child)
    return child
  }

  /** Storage type the weights were saved in (`dtype` of transformers 5, `torch_dtype` of 4), where it is one lowrank writes. */
  dtype(): 'f32' | 'f16' | 'bf16' | undefined {
    const value = this.value('dtype') ?? this.value('torch_dtype')
    return typeof value === 'string' ? DTYPES[value.replace(/^torch\./, '')] : undefined
  }

  /**
   * Refuses fields that would change the maths unless they have the one value that does not (or are absent).
   * @throws {LowrankError} `unsupported`, naming every such field with its value.
   */
  require(harmless: Readonly<Record<string, unknown>>): void {
    const wrong: string[] = []
    for (const [field, allowed] of Object.entries(harmless)) {
      const value = this.value(field)
      if (value !== undefined && JSON.stringify(value) !== JSON.stringify(allowed)) wrong.push(field)
    }
    if (wrong.length === 0) return
    const list = wrong.map((field) => `${this.#prefix}${field} = ${shown(this.#values[field])}`).join(', ')
    const name = `${this.#prefix}${wrong[0]}`
    throw new LowrankError('unsupported', `${this.file} sets ${list}, which lowrank does not compute`, {
      file: this.file,
      field: name,
    })
  }

  /** Fields with a value that nothing asked for and that may matter, as paths, in the order of the file. */
  unread(): string[] {
    const own = Object.keys(this.#values).filter(
      (field) => this.has(field) && !this.#read.has(field) && !(this.#prefix === '' && HARMLESS.has(field)),
    )
    const nested = [...this.#children.values()].flatMap((child) => child.unread())
    return [...own.map((field) => `${this.#prefix}${field}`), ...nested]
  }

  /** The error for a field whose value cannot be. `problem` continues "<file>: <field> …". */
  fault(field: string, problem: string, suggestion?: string): LowrankError {
    const name = `${this.#prefix}${field}`
    return new LowrankError('config', `${this.file}: ${name} ${problem}`, { file: this.file, field: name, suggestion })
  }

  #absent<D>(field: string, options: Fallback<D>): D {
    // `default: undefined` makes a field optional, so presence decides, not the value.
    if (Object.hasOwn(options, 'default')) return options.default as D
    const [near] = nearest(field, Object.keys(this.#values))
    throw this.fault(field, 'is missing', near && `there is a field ${near}`)
  }

  #typed<T, D>(field: string, options: Fallback<D>, expected: (value: unknown) => string | undefined): T | D {
    const value = this.value(field)
    if (value === undefined) return this.#absent(field, options)
    const wanted = expected(value)
    if (wanted !== undefined) throw this.fault(field, `is ${shown(value)}, expected ${wanted}`)
    return value as T
  }

  #list<D>(
    field: string,
    options: Bounds & Fallback<D>,
    fits: (item: unknown) => boolean,
    wanted: string,
  ): number[] | D {
    const value = this.value(field)
    if (value === undefined) return this.#absent(field, options)
    const list: unknown[] = Array.isArray(value) ? value : [value]
    const numbers: number[] = []
    for (const item of list) {
      const problem = fits(item) ? outside(Number(item), options) : wanted
      if (problem !== undefined) throw this.fault(field, `is ${shown(value)}, expected ${problem}`)
      numbers.push(Number(item))
    }
    return numbers
  }
}

/**
 * Reads a parsed `config.json`.
 * @throws {LowrankError} `format` where it is no object; `unsupported` where its weights are quantized.
 */
export function parseHfConfig(json: unknown, file: string): HfConfig {
  if (!isRecord(json)) throw new LowrankError('format', `${file} is not a JSON object`, { file })
  const config = new HfConfig(json, file)
  const quantization = config.object('quantization_config')
  if (quantization !== undefined) {
    const method = quantization.string('quant_method', { default: 'an unnamed method' })
    throw new LowrankError('unsupported', `${file}: quantization_config says the weights are quantized (${method})`, {
      file,
      field: 'quantization_config',
      suggestion: 'use the model in f32, f16 or bf16',
    })
  }
  return config
}

function outside(value: number, { min, max }: Bounds): string | undefined {
  if (min !== undefined && value < min) return max === undefined ? `at least ${min}` : `${min} to ${max}`
  if (max !== undefined && value > max) return min === undefined ? `at most ${max}` : `${min} to ${max}`
  return undefined
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}
