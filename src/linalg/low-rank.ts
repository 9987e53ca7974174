/**
 * @file Low-rank matrices given by two factors: their decomposition, norms and products by QR of the factors, so that the
 * large product is never formed. Must not know adapters.
 */
import { LowrankError } from '../support/errors.ts'
import {
  frobeniusNorm,
  type Matrix,
  matrix,
  multiply,
  multiplyTransposed,
  row,
  scaleBy,
  scaleColumns,
  transpose,
  transposedMultiply,
} from './matrix.ts'
import { qr } from './qr.ts'
import { type Svd, svd, truncated } from './svd.ts'

/** M = B · A. */
export interface LowRank {
  /** f64[r, n] */
  readonly a: Matrix
  /** f64[m, r] */
  readonly b: Matrix
}

/**
 * The decomposition of B·A, k = min(m, r, n): QR of B and of Aᵀ, then the decomposition of an r × r matrix.
 * @throws LowrankError `data` for empty factors, `numeric` for numbers that are not finite
 */
export function svdOfProduct({ a, b }: LowRank): Svd {
  const [left, right] = [qr(b), qr(transpose(a))]
  const { u, s, v } = svd(multiplyTransposed(left.r, right.r))
  return { u: multiply(left.q, u), s, v: multiply(right.q, v) }
}

/** The same product with the roots of the singular values on either side: B = U·√S, A = √S·Vᵀ. */
export function balanced({ u, s, v }: Svd): LowRank {
  const roots = s.map(Math.sqrt)
  const a = transpose(v)
  for (const [i, root] of roots.entries()) scaleBy(row(a, i), root)
  return { a, b: scaleColumns(u, roots) }
}

/** B₁·A₁ + B₂·A₂ + …, as one pair of factors: [B₁, B₂, …] · [A₁; A₂; …]. */
export function sumOf(terms: readonly LowRank[]): LowRank {
  const [first] = terms
  const rank = terms.reduce((sum, { a }) => sum + a.rows, 0)
  const [a, b] = [matrix(rank, first?.a.columns ?? 0), matrix(first?.b.rows ?? 0, rank)]
  let at = 0
  for (const term of terms) {
    a.data.set(term.a.data, at * a.columns)
    for (let i = 0; i < b.rows; i++) b.data.set(row(term.b, i), i * rank + at)
    at += term.a.rows
  }
  return { a, b }
}

/** ‖B·A‖, Frobenius. */
export function normOfProduct({ a, b }: LowRank): number {
  if (a.data.length === 0 || b.data.length === 0) return 0
  return frobeniusNorm(multiplyTransposed(qr(b).r, qr(transpose(a)).r))
}

/** ⟨B₁·A₁, B₂·A₂⟩: the sum of the products of their elements. */
export function innerProduct(one: LowRank, other: LowRank): number {
  const [left, right] = [transposedMultiply(one.b, other.b), multiplyTransposed(one.a, other.a)]
  return left.data.reduce((sum, value, i) => sum + value * (right.data[i] ?? 0), 0)
}

/** Σ of squares from `from` on. */
export function energy(s: Float64Array, from = 0): number {
  let sum = 0
  for (let i = s.length - 1; i >= from; i--) sum += (s[i] ?? 0) ** 2
  return sum
}

/** The smallest rank whose values hold `share` of `whole` (Σ s², of all values unless given); at least 1. */
export function rankForEnergy(s: Float64Array, share: number, whole = energy(s)): number | undefined {
  let sum = 0
  // One rounding of the sum must not cost a rank where everything is asked for.
  const wanted = share * whole * (1 - 1e-12)
  for (const [i, value] of s.entries()) {
    sum += value * value
    if (sum >= wanted) return i + 1
  }
  return undefined
}

/** Where a decomposition is cut. */
export type Cut = { readonly rank: number } | { readonly energy: number }

/** The kept part, and what share of the energy it holds. @throws LowrankError `numeric` */
export function cutSvd(whole: Svd, cut: Cut): { kept: Svd; rank: number; energy: number } {
  const all = energy(whole.s)
  if (!Number.isFinite(all)) throw new LowrankError('numeric', 'the singular values are not finite')
  const wanted = 'rank' in cut ? cut.rank : (rankForEnergy(whole.s, cut.energy) ?? whole.s.length)
  const rank = Math.min(wanted, whole.s.length)
  const kept = truncated(whole, rank)
  return { kept, rank, energy: all === 0 ? 1 : Math.min(1, energy(kept.s) / all) }
}

/** exp of the entropy of the singular values' shares (Roy and Vetterli 2007): 1 for one direction, k for k equal ones. */
export function effectiveRank(s: Float64Array): number {
  const sum = s.reduce((total, value) => total + value, 0)
  if (sum === 0) return 0
  let entropy = 0
  for (const value of s) if (value > 0) entropy -= (value / sum) * Math.log(value / sum)
  return Math.exp(entropy)
}

/** ‖M‖² / ‖M‖₂²: never above the rank, and unmoved by small values. */
export function stableRank(s: Float64Array): number {
  const [first = 0] = s
  return first === 0 ? 0 : energy(s) / (first * first)
}

/** Directions that count: values above this share of the largest are no rounding of f32 factors. */
const COUNTS = 1e-6

/** The number of singular values that are not rounding. */
export function numericalRank(s: Float64Array): number {
  const [first = 0] = s
  return s.filter((value) => value > COUNTS * first).length
}

/**
 * How much of the smaller space lies in the larger, 0 to 1: ‖U₁ᵀ·U₂‖² / min(k₁, k₂) (Hu et al. 2021, section 7.2).
 * @param one f64[n, k₁], columns orthonormal
 * @param other f64[n, k₂]
 */
export function subspaceOverlap(one: Matrix, other: Matrix): number {
  const least = Math.min(one.columns, other.columns)
  return least === 0 ? 0 : Math.min(1, frobeniusNorm(transposedMultiply(one, other)) ** 2 / least)
}
