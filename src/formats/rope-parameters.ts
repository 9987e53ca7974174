/**
 * @file One spelling for rotary embeddings: `rope_parameters` of transformers 5, or `rope_theta` + `rope_scaling` +
 * `partial_rotary_factor` of 4, read into the former.
 * Must not know what a rope type computes. Source: transformers `modeling_rope_utils.py` (standardize_rope_params).
 */
import { isRecord } from '../support/json.ts'
import { HfConfig } from './hf-config.ts'

/** Types whose formula needs the length the model was first trained on. */
const NEEDS_ORIGINAL = new Set(['llama3', 'yarn', 'longrope'])

/**
 * Rope settings of a config: `rope_type` (default "default"), `rope_theta` where known, and what the type needs.
 * Per layer type (`rope_parameters: {full_attention: {…}}`) the result holds one object a layer type: use `.object(…)`.
 * Errors name the fields as they stand in the file; what a model leaves unread is told by the result's own `unread()`.
 */
export function ropeParameters(config: HfConfig): HfConfig {
  const scaling = config.object('rope_scaling')
  const given = scaling ?? config.object('rope_parameters')
  const section = scaling === undefined ? 'rope_parameters' : 'rope_scaling'
  const raw = config.value(section)
  const values = isRecord(raw) ? raw : {}
  const shared = {
    theta: config.number('rope_theta', { default: undefined }),
    partial: config.number('partial_rotary_factor', { default: undefined, min: 0, max: 1 }),
    original: config.int('original_max_position_embeddings', { default: undefined, min: 1 }),
    length: config.int('max_position_embeddings', { default: undefined, min: 1 }),
  }
  const entries = Object.entries(values)
  const nested = entries.some(([, value]) => isRecord(value))
  const whole = nested
    ? Object.fromEntries(entries.map(([key, value]) => [key, isRecord(value) ? standard(value, shared) : value]))
    : standard(values, shared)
  // What the file says is now this reader's to account for.
  for (const [field] of entries) given?.value(field)
  return new HfConfig(whole, config.file, `${section}.`)
}

interface Shared {
  theta: number | undefined
  partial: number | undefined
  original: number | undefined
  length: number | undefined
}

function standard(values: Record<string, unknown>, shared: Shared): Record<string, unknown> {
  const { type, ...rest } = values
  const named = rest.rope_type ?? type ?? 'default'
  const result: Record<string, unknown> = {
    ...(shared.theta === undefined ? {} : { rope_theta: shared.theta }),
    ...(shared.partial === undefined ? {} : { partial_rotary_factor: shared.partial }),
    ...rest,
    rope_type: named === 'su' ? 'longrope' : named, // "su" is what early Phi-3 files call it
  }
  if (!NEEDS_ORIGINAL.has(String(result.rope_type))) return result
  // A value outside the section wins, as in transformers; without any, the model's own length.
  const original = shared.original ?? result.original_max_position_embeddings ?? shared.length
  return original === undefined ? result : { ...result, original_max_position_embeddings: original }
}
