/**
 * @file Frequencies of rotary position embedding (RoFormer, arXiv 2104.09864) and how configs stretch them:
 * default, linear, llama3, yarn (arXiv 2309.00071), longrope (arXiv 2402.13753), with the formulas of transformers'
 * `modeling_rope_utils`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import { ropeParameters } from '../formats/rope-parameters.ts'
import { LowrankError } from '../support/errors.ts'
import { lastSegment } from './modules.ts'

export interface Rope {
  /** One a pair of channels: radians a position. Channels beyond the last pair are not turned. */
  readonly inverseFrequencies: readonly number[]
  /** Frequencies of samples longer than `from` tokens (LongRoPE). */
  readonly long?: { readonly inverseFrequencies: readonly number[]; readonly from: number }
  /** Factor on cos and sin. */
  readonly attentionFactor: number
}

/** What a rope type's formula may use, read from a config. */
interface RopeParameters {
  readonly theta: number
  readonly factor: number | undefined
  readonly originalMaxPositions: number
}

const TYPES = ['default', 'linear', 'llama3', 'yarn', 'longrope'] as const
type RopeType = (typeof TYPES)[number]

/** Parameters of one type that files have beside another: transformers computes without them, with a warning. */
const OTHER_TYPES = new Set(
  `attention_factor beta_fast beta_slow factor high_freq_factor long_factor low_freq_factor mscale mscale_all_dim
  original_max_position_embeddings short_factor truncate`.split(/\s+/),
)

export interface RopeOptions {
  /** What a family's config means where it says nothing. @default 10000 */
  readonly theta?: number | undefined
  /** Share of each head's channels that is turned, where the config says nothing; a family that always turns all of them
   * leaves it out, and refuses another share. */
  readonly partial?: number | undefined
  /** Length of the first training, where a family's config has it outside the section and so it counts. */
  readonly original?: number | undefined
  /** Types the family knows. @default all */
  readonly types?: readonly RopeType[] | undefined
}

/**
 * Rotary frequencies of a config, for heads of `headDim` channels.
 * @throws LowrankError 'config' naming a rope type that is not built, or a parameter that is missing or out of range.
 */
export function ropeOf(config: HfConfig, headDim: number, maxPositions: number, options: RopeOptions = {}): Rope {
  return ropeOfSection(ropeParameters(config), headDim, maxPositions, options)
}

/** The same, of one section: of `rope_parameters` by layer type. */
export function ropeOfSection(section: HfConfig, headDim: number, maxPositions: number, options: RopeOptions): Rope {
  const rope = readRope(section, headDim, maxPositions, options)
  const unread = section.unread().filter((field) => !OTHER_TYPES.has(lastSegment(field)))
  if (unread[0] === undefined) return rope
  throw new LowrankError('unsupported', `${section.file} sets ${unread.join(', ')}, which lowrank does not compute`, {
    file: section.file,
    field: unread[0],
  })
}

function readRope(section: HfConfig, heads: number, maxPositions: number, options: RopeOptions): Rope {
  const type = section.oneOf('rope_type', options.types ?? TYPES, { default: 'default' })
  const theta = section.number('rope_theta', { default: options.theta ?? 10000, min: Number.MIN_VALUE })
  const headDim = turnedChannels(section, heads, options.partial)
  const base = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim))
  if (type === 'default') return { inverseFrequencies: base, attentionFactor: 1 }
  const originalMaxPositions =
    options.original ?? section.int('original_max_position_embeddings', { default: maxPositions, min: 1 })
  if (type === 'longrope') return longrope(base, section, originalMaxPositions, maxPositions)
  if (type === 'yarn') {
    const factor = section.number('factor', { default: maxPositions / originalMaxPositions, min: Number.MIN_VALUE })
    return yarn(base, section, headDim, { theta, factor, originalMaxPositions })
  }
  const factor = section.number('factor', { min: Number.MIN_VALUE })
  if (type === 'linear') return { inverseFrequencies: base.map((f) => f / factor), attentionFactor: 1 }
  return { inverseFrequencies: llama3(base, section, factor, originalMaxPositions), attentionFactor: 1 }
}

/** How many channels of a head are turned. */
function turnedChannels(section: HfConfig, headDim: number, partial: number | undefined): number {
  if (partial === undefined) {
    section.require({ partial_rotary_factor: 1 })
    return headDim
  }
  const share = section.number('partial_rotary_factor', { default: partial, min: 0, max: 1 })
  const turned = Math.trunc(headDim * share)
  if (turned % 2 !== 0 || turned === 0)
    throw section.fault(
      'partial_rotary_factor',
      `turns ${turned} of ${headDim} channels; the number must be even, above 0`,
    )
  return turned
}

/** Each frequency divided by a searched factor of its own, another one for samples beyond the first training's length. */
function longrope(base: readonly number[], section: HfConfig, original: number, maxPositions: number): Rope {
  const divided = (field: string): number[] => {
    const factors = section.numbers(field, { min: Number.MIN_VALUE })
    if (factors.length !== base.length)
      throw section.fault(field, `has ${factors.length} factors; there are ${base.length} frequencies`)
    return base.map((frequency, i) => frequency / (factors[i] ?? 1))
  }
  const factor = section.number('factor', { default: maxPositions / original, min: Number.MIN_VALUE })
  const fallback = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))
  return {
    inverseFrequencies: divided('short_factor'),
    long: { inverseFrequencies: divided('long_factor'), from: original },
    attentionFactor: section.number('attention_factor', { default: fallback }),
  }
}

/** Long wavelengths are divided by the factor, short ones kept, those between interpolated (Llama 3.1). */
function llama3(base: readonly number[], section: HfConfig, factor: number, original: number): number[] {
  const low = section.number('low_freq_factor', { min: 0 })
  const high = section.number('high_freq_factor', { min: 0 })
  return base.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency
    if (wavelength < original / high) return frequency
    if (wavelength > original / low) return frequency / factor
    const smooth = (original / wavelength - low) / (high - low)
    return ((1 - smooth) * frequency) / factor + smooth * frequency
  })
}

function yarn(
  base: readonly number[],
  section: HfConfig,
  headDim: number,
  p: RopeParameters & { factor: number },
): Rope {
  const correction = (rotations: number): number =>
    (headDim * Math.log(p.originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(p.theta))
  const lowExact = correction(section.number('beta_fast', { default: 32 }))
  const highExact = correction(section.number('beta_slow', { default: 1 }))
  const round = section.boolean('truncate', { default: true })
  const low = Math.max(round ? Math.floor(lowExact) : lowExact, 0)
  const high = Math.min(round ? Math.ceil(highExact) : highExact, headDim - 1)
  const span = low === high ? 0.001 : high - low
  const inverseFrequencies = base.map((frequency, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / span))
    return (frequency / p.factor) * ramp + frequency * (1 - ramp)
  })
  return { inverseFrequencies, attentionFactor: yarnAttentionFactor(section, p.factor) }
}

function yarnAttentionFactor(section: HfConfig, factor: number): number {
  const scale = (mscale: number): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1)
  const mscale = section.number('mscale', { default: 0 })
  const mscaleAllDim = section.number('mscale_all_dim', { default: 0 })
  const fallback = mscale && mscaleAllDim ? scale(mscale) / scale(mscaleAllDim) : scale(1)
  return section.number('attention_factor', { default: fallback })
}
