/**
 * @file Folding adapters into a base weight and taking them out again, as PEFT's `merge` and `unmerge` do
 * (peft/tuners/lora/layer.py, variants.py 0.21): computed in f32, stored in the base's dtype.
 * Must not know files, configs or graphs.
 */
import type { SiteKind } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { asF32, forEachRow, outputNorms, rowFactors, storeLike } from './low-rank-update.ts'

interface Change {
  /** alpha / r (or alpha / √r) times the adapter's weight; 1 where a method has no scale. */
  readonly scale: number
  /** f32[out], with lora_bias. */
  readonly bBias?: HostTensor | undefined
}

/** W += scale·B·A, or DoRA's rescaling of that. */
export interface LowRankChange extends Change {
  /** f32[r, in] */
  readonly a: HostTensor
  /** f32[out, r] */
  readonly b: HostTensor
  /** f32[out], with DoRA. */
  readonly magnitude?: HostTensor | undefined
}

/** Any other change of a weight, in place, in its stored layout. */
export interface FoldedChange extends Change {
  fold(weight: Float32Array, site: SiteWeights, scale: number): void
  unfold(weight: Float32Array, site: SiteWeights, scale: number): void
}

/** What one adapter does to one site when it is merged. */
export type SiteChange = LowRankChange | FoldedChange
export type SiteUpdate = SiteChange & {
  /** The adapter's name, for errors. */
  readonly adapter: string
}

/** A base layer: its weight as stored, `[out, in]` or `[in, out]` for Conv1D, `[tokens, width]` for an embedding. */
export interface SiteWeights {
  readonly path: string
  readonly kind: SiteKind
  readonly weight: HostTensor
  readonly bias?: HostTensor | undefined
}

export interface MergedWeights {
  readonly weight: HostTensor
  readonly bias?: HostTensor | undefined
  /** What `unmergeSite` needs besides the adapters: DoRA's factor of each output, an entry an adapter. */
  readonly factors: readonly (Float32Array | undefined)[]
}

/**
 * Adds adapters to a layer, one after the other. W += s·B·A; DoRA: W = m / ‖W₀ + s·B·A‖ ⊙ (W + s·B·A), the norm over the
 * unmerged W₀ as in the forward pass; lora_bias: b += s·bias. The inputs are not changed.
 * @throws LowrankError `numeric` naming the tensor and the adapter when a value is not finite; `config` when a lora_bias
 * meets a layer without bias.
 */
export function mergeSite(site: SiteWeights, updates: readonly SiteUpdate[]): MergedWeights {
  const name = `${site.path}.weight`
  const base = asF32(site.weight, name)
  const work = base.slice()
  const factors = updates.map((update) => addUpdate(site, base, work, update))
  const weight = storeLike(site.weight, work)
  checkFinite(weight, site.weight, name, updates)
  const bias = mergeBias(site, updates, 1)
  return { weight, factors, ...(bias ? { bias } : {}) }
}

/**
 * Takes the adapters of a merge out again, last first. Equal to the base up to rounding in the weight's dtype.
 * @param merged what `mergeSite` returned for the same updates
 */
export function unmergeSite(site: SiteWeights, updates: readonly SiteUpdate[], merged: MergedWeights): SiteWeights {
  const name = `${site.path}.weight`
  const work = asF32(merged.weight, name).slice()
  for (const [index, update] of [...updates.entries()].reverse()) {
    if ('fold' in update) {
      update.unfold(work, site, update.scale)
      continue
    }
    const factor = merged.factors[index]
    const factors = rowFactors(site.kind !== 'linear', update.a, update.b, name)
    forEachRow(factors, update.scale, (row, i) => {
      const at = i * factors.columns
      for (let j = 0; j < row.length; j++) {
        const f = factor?.[site.kind === 'linear' ? i : j] ?? 1
        work[at + j] = (work[at + j] ?? 0) / f - (row[j] ?? 0)
      }
    })
  }
  const bias = mergeBias({ ...site, bias: merged.bias ?? site.bias }, updates, -1)
  return { ...site, weight: storeLike(site.weight, work), ...(bias ? { bias } : {}) }
}

/** Adds one update to `work`; returns DoRA's factors. */
function addUpdate(
  site: SiteWeights,
  base: Float32Array,
  work: Float32Array,
  update: SiteUpdate,
): Float32Array | undefined {
  if ('fold' in update) {
    update.fold(work, site, update.scale)
    return undefined
  }
  const transposed = site.kind !== 'linear'
  const name = `${site.path}.weight`
  const low = rowFactors(transposed, update.a, update.b, name)
  const stored = [low.rows, low.columns]
  if (String(stored) !== String(site.weight.shape))
    throw new LowrankError(
      'format',
      `${name} is [${site.weight.shape}], but adapter ${update.adapter} fits [${stored}]`,
      {
        field: name,
      },
    )
  const factor = update.magnitude && doraFactors(transposed, base, low, update)
  forEachRow(low, update.scale, (row, i) => {
    const at = i * low.columns
    if (!factor) for (let j = 0; j < row.length; j++) work[at + j] = (work[at + j] ?? 0) + (row[j] ?? 0)
    else
      for (let j = 0; j < row.length; j++)
        work[at + j] = (factor[transposed ? j : i] ?? 0) * ((work[at + j] ?? 0) + (row[j] ?? 0))
  })
  return factor
}

/** m / ‖W₀ + s·B·A‖ of each output. */
function doraFactors(
  transposed: boolean,
  base: Float32Array,
  low: ReturnType<typeof rowFactors>,
  { magnitude, scale, adapter }: LowRankChange & { adapter: string },
): Float32Array {
  const norms = outputNorms(transposed, base, low, scale)
  const wanted = magnitude ? asF32(magnitude, `${adapter}: lora_magnitude_vector`) : norms
  return norms.map((norm, i) => (wanted[i] ?? 0) / norm)
}

/**
 * A layer's bias with the biases on B added (or, with `sign` −1, taken out): b += s·bias. Unchanged where no adapter has one.
 * @throws LowrankError as `mergeSite`
 */
export function mergeBias(
  site: Pick<SiteWeights, 'path' | 'bias'>,
  updates: readonly SiteUpdate[],
  sign: 1 | -1,
): HostTensor | undefined {
  const withBias = updates.filter((update) => update.bBias !== undefined)
  const [first] = withBias
  if (!first) return site.bias
  const name = `${site.path}.bias`
  if (!site.bias)
    throw new LowrankError(
      'config',
      `lora_bias: adapter ${first.adapter} has a bias on B at ${site.path}, which has none to merge it into`,
      { field: 'lora_bias', suggestion: 'use the adapter unmerged' },
    )
  const work = asF32(site.bias, name).slice()
  for (const { bBias, scale } of withBias) {
    const added = bBias ? asF32(bBias, name) : work
    for (let i = 0; i < work.length; i++) work[i] = (work[i] ?? 0) + sign * scale * (added[i] ?? 0)
  }
  const bias = storeLike(site.bias, work)
  checkFinite(bias, site.bias, name, withBias)
  return bias
}

/** PEFT's `safe_merge`, always on: it costs a pass over the weight. Sees overflow of the stored dtype too. */
export function checkFinite(
  merged: HostTensor,
  base: HostTensor,
  name: string,
  updates: readonly Pick<SiteUpdate, 'adapter'>[],
): void {
  if (allFinite(merged)) return
  const adapters = updates.map((update) => update.adapter).join(', ')
  const why = allFinite(base)
    ? `merging adapter ${adapters} makes ${name} (${base.dtype}) not finite: the adapter is broken, or its values are beyond that dtype`
    : `${name} of the base is not finite`
  throw new LowrankError('numeric', why, { field: name })
}

function allFinite({ dtype, data }: HostTensor): boolean {
  if (dtype === 'f32') {
    let difference = 0 // x − x is 0, or NaN where x is not finite
    for (let i = 0; i < data.length; i++) difference += (data[i] ?? 0) - (data[i] ?? 0)
    return difference === 0
  }
  const exponent = dtype === 'f16' ? 0x7c00 : dtype === 'bf16' ? 0x7f80 : undefined
  if (exponent === undefined) return true
  for (let i = 0; i < data.length; i++) if ((Number(data[i]) & exponent) === exponent) return false
  return true
}

/**
 * Puts trained rows in place of an embedding's (trainable_token_indices).
 * @param rows f32[indices.length, width]
 */
export function replaceRows(
  weight: HostTensor,
  indices: readonly number[],
  rows: HostTensor,
  name: string,
): HostTensor {
  const [tokens = 0, width = 0] = weight.shape
  const work = asF32(weight, name).slice()
  const values = asF32(rows, name)
  for (const [i, index] of indices.entries()) {
    if (index >= tokens)
      throw new LowrankError('config', `${name} has ${tokens} rows, no row ${index}`, { field: name })
    work.set(values.subarray(i * width, (i + 1) * width), index * width)
  }
  return storeLike(weight, work)
}
