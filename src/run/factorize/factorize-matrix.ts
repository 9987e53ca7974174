/**
 * @file W ≈ B·A of one matrix: its spectrum, the error of every rank that is known, factors of one rank, and how far these
 * are from the best possible. Must not know files.
 */
import { balanced, effectiveRank, energy, type LowRank, stableRank } from '../../linalg/low-rank.ts'
import { frobeniusNorm, type Matrix, matrix, multiply, subtract } from '../../linalg/matrix.ts'
import { randomizedSvd, type Svd, singularValues, svd, topSvd, truncated } from '../../linalg/svd.ts'
import type { FactorizedTensor } from '../algebra-types.ts'

export interface FactorizeSettings {
  /** None: the spectrum alone. */
  readonly rank?: number | undefined
  readonly algorithm: 'svd' | 'randomized'
  readonly seed: number
  /** Find the whole spectrum with a randomized decomposition too. */
  readonly check: boolean
}

export interface Factorization {
  readonly facts: Omit<FactorizedTensor, 'name' | 'dtype'>
  /** Where a rank is given; as saved, rounded to f32. */
  readonly factors?: LowRank | undefined
}

/**
 * Factorizes a matrix. By Eckart and Young (1936) no factors of rank r have a smaller error than √(Σ sᵢ², i > r).
 * @throws LowrankError `numeric`
 */
export function factorizeMatrix(m: Matrix, settings: FactorizeSettings): Factorization {
  const norm = frobeniusNorm(m)
  const rank = settings.rank === undefined ? undefined : Math.min(settings.rank, m.rows, m.columns)
  const sketch =
    settings.algorithm === 'randomized' && rank !== undefined ? sketched(m, rank, norm, settings.seed) : undefined
  const whole = sketch === undefined || settings.check ? decomposed(m, rank, sketch === undefined) : undefined
  const s = whole?.s ?? sketch?.found.s ?? new Float64Array(0)
  const facts = {
    shape: [m.rows, m.columns],
    norm,
    spectrum: Array.from(s),
    errors: errorsOf(s, norm, whole !== undefined),
    ...(whole ? { effectiveRank: effectiveRank(s), stableRank: stableRank(s) } : {}),
    ...(sketch ? { iterations: sketch.iterations } : {}),
  }
  const found = sketch?.found ?? whole?.found
  if (found === undefined || rank === undefined) return { facts }
  const factors = rounded(balanced(found))
  const error = relative(frobeniusNorm(subtract(m, multiply(factors.b, factors.a))), norm)
  const optimal = whole && relative(Math.sqrt(energy(whole.s, rank)), norm)
  const kept = { rank, error, energy: Math.max(0, 1 - error ** 2), ...(optimal === undefined ? {} : { optimal }) }
  return { facts: { ...facts, ...kept }, factors }
}

const relative = (value: number, norm: number): number => (norm === 0 ? 0 : value / norm)

/** All singular values, and the largest with their vectors where they are wanted. */
function decomposed(m: Matrix, rank: number | undefined, vectors: boolean): { s: Float64Array; found?: Svd } {
  if (rank === undefined || !vectors) return { s: singularValues(m) }
  // Near the whole rank everything at once is cheaper than the largest alone.
  if (8 * rank <= Math.min(m.rows, m.columns)) return { s: singularValues(m), found: topSvd(m, rank) }
  const whole = svd(m)
  return { s: whole.s, found: truncated(whole, rank) }
}

/** Twice the power iterations must not lower the error by more than this share: an order below the 1 % that is promised. */
const SETTLED = 1e-3
/** Below this the error is rounding of f64, not something to improve. */
const EXACT = 1e-7
const MOST_ITERATIONS = 64

/** A randomized decomposition with as many power iterations as the spectrum needs. */
function sketched(m: Matrix, rank: number, norm: number, seed: number): { found: Svd; iterations: number } {
  const errorOf = ({ s }: Svd): number => relative(Math.sqrt(Math.max(0, norm * norm - energy(s))), norm)
  let iterations = 2
  let found = randomizedSvd(m, rank, { iterations, seed })
  while (iterations < MOST_ITERATIONS && errorOf(found) > EXACT) {
    const more = randomizedSvd(m, rank, { iterations: 2 * iterations, seed })
    const gain = errorOf(found) - errorOf(more)
    found = more
    iterations *= 2
    if (gain <= SETTLED * errorOf(more)) break
  }
  return { found, iterations }
}

/** What a file of f32 holds. */
function rounded({ a, b }: LowRank): LowRank {
  const round = ({ rows, columns, data }: Matrix): Matrix => matrix(rows, columns, data.map(Math.fround))
  return { a: round(a), b: round(b) }
}

/** Relative error of rank 0, 1, 2, … as far as the spectrum is known. */
function errorsOf(s: Float64Array, norm: number, complete: boolean): number[] {
  // The tail is summed from its small end; that of an incomplete spectrum is what the norm leaves.
  let sum = complete ? 0 : Math.max(0, norm * norm - energy(s))
  const errors = [relative(Math.sqrt(sum), norm)]
  for (let r = s.length - 1; r >= 0; r--) {
    sum += (s[r] ?? 0) ** 2
    errors.push(relative(Math.sqrt(sum), norm))
  }
  return errors.reverse()
}
