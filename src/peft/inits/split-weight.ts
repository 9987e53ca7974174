/**
 * @file Starts that take part of the weight into the adapter: PiSSA (arXiv 2404.02948), OLoRA (arXiv 2406.01775), LoftQ
 * (arXiv 2310.08659). Each gives A, B and the weight that is left, so that W = left + s·B·A (LoftQ: nearly).
 * Must not know files, graphs or configs.
 */
import { pissaIterations } from '../../formats/lora-init.ts'
import { type Matrix, matrix, row, scaleBy, scaleColumns, subtract, transpose } from '../../linalg/matrix.ts'
import { qr } from '../../linalg/qr.ts'
import { randomizedSvd, recompose, type Svd, topSvd } from '../../linalg/svd.ts'
import { isLowrankError, LowrankError } from '../../support/errors.ts'
import { f32, type HostTensor, type TypedTensor } from '../../tensor/host-tensor.ts'
import { asF32, storeLike } from '../low-rank-update.ts'
import { mergeSite } from '../merge.ts'
import type { AdapterSite } from '../method.ts'
import { checkStartRank } from './check-rank.ts'
import { throughNf4 } from './nf4.ts'

/** A site's first factors. */
export interface Factors {
  /** f32[r, in] */
  readonly a: TypedTensor<'f32'>
  /** f32[out, r] */
  readonly b: TypedTensor<'f32'>
}

export interface SplitOptions {
  /** `init_lora_weights`, one that `changesBase`. */
  readonly init: string
  /** `loftq_iter`. @default 1 */
  readonly loftqIterations?: number
}

type Site = Pick<AdapterSite, 'path' | 'kind' | 'r' | 'scale' | 'inFeatures' | 'outFeatures'>

/**
 * @param weight as stored: `[out, in]`, or `[in, out]` for Conv1D. PEFT's OLoRA and LoftQ take a Conv1D's weight as if it
 *   were `[out, in]`; here it is turned first.
 * @returns the factors, and what stands in for the weight, in its dtype and layout
 * @throws LowrankError `numeric` naming the tensor with values that are not finite; `config` for a rank that is too large
 */
export function splitWeight(site: Site, weight: HostTensor, options: SplitOptions): Factors & { left: HostTensor } {
  const name = `${site.path}.weight`
  const [rows = 0, columns = 0] = weight.shape
  checkStartRank(site, options.init)
  try {
    if (options.init === 'loftq') return loftq(site, weight, options.loftqIterations ?? 1)
    const whole = oriented(site, asF32(weight, name), rows, columns)
    const factors = options.init === 'olora' ? olora(site, whole) : pissa(site, whole, options)
    return { ...factors, left: without(site, weight, factors) }
  } catch (error) {
    if (!isLowrankError(error)) throw error
    throw new LowrankError(error.code, `init_lora_weights ${options.init} at ${name}: ${error.message}`, {
      field: name,
    })
  }
}

/** The weight as f64[out, in]. */
function oriented({ kind }: Site, values: Float32Array, rows: number, columns: number): Matrix {
  const stored = matrix(rows, columns, Float64Array.from(values))
  return kind === 'linear' ? stored : transpose(stored)
}

/** W − s·B·A, in the dtype and layout of W. */
function without({ path, kind, scale }: Site, weight: HostTensor, { a, b }: Factors): HostTensor {
  return mergeSite({ path, kind, weight }, [{ a, b, scale: -scale, adapter: 'its start' }]).weight
}

const tensorOf = (m: Matrix): TypedTensor<'f32'> => f32([m.rows, m.columns], m.data)

/**
 * The largest singular values, half of each (in the sense of its root) in A and half in B, the scale taken out.
 * A sketch is drawn by one seed for all runs, so that whoever opens the adapter later finds the same start.
 */
function pissa(site: Site, whole: Matrix, { init }: SplitOptions): Factors {
  const iterations = pissaIterations(init)
  const found = iterations === undefined ? topSvd(whole, site.r) : randomizedSvd(whole, site.r, { iterations })
  return halves(found, site.scale)
}

function halves({ u, s, v }: Svd, scale: number): Factors {
  const roots = s.map((value) => Math.sqrt(value / scale))
  const a = transpose(v)
  for (const [i, root] of roots.entries()) scaleBy(row(a, i), root)
  return { a: tensorOf(a), b: tensorOf(scaleColumns(u, roots)) }
}

/** The first columns of Q and rows of R. */
function olora(site: Site, whole: Matrix): Factors {
  const { q, r } = qr(whole)
  const a = matrix(site.r, r.columns, r.data.slice(0, site.r * r.columns))
  const b = matrix(q.rows, site.r)
  for (let i = 0; i < q.rows; i++) b.data.set(row(q, i).subarray(0, site.r), i * site.r)
  return { a: tensorOf(a), b: tensorOf(b) }
}

/**
 * Quantises what the factors do not hold, and lets them hold what quantising lost, in turn. PEFT forgets the scale, so
 * that its start is near W only where s = 1.
 */
function loftq(site: Site, weight: HostTensor, iterations: number): Factors & { left: HostTensor } {
  const name = `${site.path}.weight`
  const [rows = 0, columns = 0] = weight.shape
  const values = asF32(weight, name)
  const whole = oriented(site, values, rows, columns)
  let rest = values
  for (let i = 1; ; i++) {
    const quantized = throughNf4(rest)
    const lost = subtract(whole, oriented(site, quantized, rows, columns))
    const found = topSvd(lost, site.r)
    if (i >= iterations) return { ...halves(found, site.scale), left: storeLike(weight, quantized) }
    const kept = subtract(whole, recompose(found))
    rest = Float32Array.from(site.kind === 'linear' ? kept.data : transpose(kept).data)
  }
}
