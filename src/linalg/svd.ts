/**
 * @file Singular value decompositions: whole, the largest values alone, and randomised.
 * Must not know what is decomposed.
 */
import { LowrankError } from '../support/errors.ts'
import { RandomStream } from '../support/random.ts'
import { type Bidiagonal, bidiagonalize, bidiagonalOf, diagonalize, orthogonalize } from './bidiagonal.ts'
import {
  checkFinite,
  dot,
  firstColumns,
  type Matrix,
  matrix,
  multiply,
  row,
  scaleBy,
  transpose,
  transposedMultiply,
} from './matrix.ts'
import { qr } from './qr.ts'

/** M = U · diag(s) · Vᵀ. */
export interface Svd {
  /** f64[m, k], columns orthonormal. */
  readonly u: Matrix
  /** f64[k], from the largest to the smallest, none below 0. */
  readonly s: Float64Array
  /** f64[n, k], columns orthonormal. */
  readonly v: Matrix
}

const swapped = ({ u, s, v }: Svd): Svd => ({ u: v, s, v: u })

/**
 * The whole decomposition, k = min(m, n), to about 1e-14 of the largest value (Golub and Kahan 1965).
 * @throws LowrankError `data` for an empty matrix or numbers that are not finite
 */
export function svd(m: Matrix): Svd {
  checkFinite(m, 'a singular value decomposition')
  if (m.rows < m.columns) return swapped(svd(transpose(m)))
  if (m.rows > 1.5 * m.columns) {
    // A tall matrix: reflections on its small triangle cost less.
    const { q, r } = qr(m)
    const { u, s, v } = svd(r)
    return { u: multiply(q, u), s, v }
  }
  const b = bidiagonalize(m)
  diagonalize(b)
  return sorted(b)
}

/**
 * The singular values alone, f64[min(m, n)], from the largest on.
 * @throws LowrankError as `svd`
 */
export function singularValues(m: Matrix): Float64Array {
  checkFinite(m, 'a singular value decomposition')
  if (m.rows < m.columns) return singularValues(transpose(m))
  const b = bidiagonalize(m.rows > 1.5 * m.columns ? qr(m, 'r').r : m, false)
  diagonalize(b)
  return b.d.map(Math.abs).sort().reverse()
}

function sorted({ d, ut, vt }: Bidiagonal): Svd {
  const order = Array.from(d.keys()).sort((i, j) => Math.abs(d[j] ?? 0) - Math.abs(d[i] ?? 0))
  const pick = (from: Matrix, signed: boolean): Matrix => {
    const out = matrix(order.length, from.columns)
    for (const [to, i] of order.entries()) {
      out.data.set(row(from, i), to * from.columns)
      if (signed && (d[i] ?? 0) < 0) scaleBy(row(out, to), -1)
    }
    return transpose(out)
  }
  return { u: pick(ut, false), s: Float64Array.from(order, (i) => Math.abs(d[i] ?? 0)), v: pick(vt, true) }
}

export interface TopOptions {
  /** Seed of the first vector. @default 0 */
  readonly seed?: number
}

/** What is left of a triple, as a share of the largest value, when it counts as found. */
const CONVERGED = 1e-13

/**
 * The `rank` largest singular values and their vectors, by Golub–Kahan–Lanczos bidiagonalisation with full
 * reorthogonalisation: as exact as the whole decomposition, and much cheaper where rank is small.
 * @throws LowrankError `data` for an empty matrix, numbers that are not finite, or a rank outside 1…min(m, n)
 */
export function topSvd(m: Matrix, rank: number, { seed = 0 }: TopOptions = {}): Svd {
  checkFinite(m, 'a singular value decomposition')
  checkRank(m, rank)
  const k = Math.min(m.rows, m.columns)
  const most = Math.floor(k / 2)
  if (2 * rank > most || k < 64) return truncated(svd(m), rank)
  return lanczos(m, rank, most, seed) ?? truncated(svd(m), rank)
}

function checkRank(m: Matrix, rank: number): void {
  const most = Math.min(m.rows, m.columns)
  if (!Number.isInteger(rank) || rank < 1 || rank > most)
    throw new LowrankError('data', `rank ${rank} of a ${m.rows} by ${m.columns} matrix must be between 1 and ${most}`)
}

/** The `rank` largest of a decomposition. */
export function truncated({ u, s, v }: Svd, rank: number): Svd {
  return { u: firstColumns(u, rank), s: s.slice(0, rank), v: firstColumns(v, rank) }
}

/** Undefined where `most` steps are not enough. */
function lanczos(m: Matrix, rank: number, most: number, seed: number): Svd | undefined {
  const mt = transpose(m)
  const random = new RandomStream(seed, 'svd')
  const [us, vs] = [matrix(most, m.rows), matrix(most + 1, m.columns)]
  const [d, e] = [new Float64Array(most), new Float64Array(most)]
  const first = row(vs, 0)
  for (let i = 0; i < first.length; i++) first[i] = random.normal()
  scaleBy(first, 1 / Math.sqrt(dot(first, first)))
  let check = Math.max(2 * rank, 16)
  for (let j = 0; j < most; j++) {
    const u = row(us, j)
    timesVector(m, row(vs, j), u)
    d[j] = normalize(u, us, j, random)
    const v = row(vs, j + 1)
    timesVector(mt, u, v)
    e[j] = normalize(v, vs, j + 1, random)
    if (j + 1 < check && j + 1 < most) continue
    check = Math.ceil(1.25 * check)
    const found = ritz(d.subarray(0, j + 1), e.subarray(0, j), e[j] ?? 0, rank)
    if (found) return project(found, us, vs)
  }
  return undefined
}

/** Makes x orthonormal to the basis; a vector that vanishes gives its length 0 and a fresh direction. */
function normalize(x: Float64Array, basis: Matrix, count: number, random: RandomStream): number {
  const before = Math.sqrt(dot(x, x))
  const length = orthogonalize(x, basis, count)
  if (length > 1e-14 * before && length > 0) {
    scaleBy(x, 1 / length)
    return length
  }
  for (let i = 0; i < x.length; i++) x[i] = random.normal()
  scaleBy(x, 1 / orthogonalize(x, basis, count))
  return 0
}

/** out = M · x. */
function timesVector(m: Matrix, x: Float64Array, out: Float64Array): void {
  for (let i = 0; i < m.rows; i++) out[i] = dot(row(m, i), x)
}

/** The small decomposition, where the wanted triples have converged: what is left of triple i is beta·|last of u_i|. */
function ritz(d: Float64Array, e: Float64Array, beta: number, rank: number): Svd | undefined {
  const b = bidiagonalOf(d, e)
  diagonalize(b)
  const found = sorted(b)
  const last = row(found.u, d.length - 1)
  const limit = CONVERGED * (found.s[0] ?? 0)
  for (let i = 0; i < rank; i++) if (beta * Math.abs(last[i] ?? 0) > limit) return undefined
  return truncated(found, rank)
}

function project({ u, s, v }: Svd, us: Matrix, vs: Matrix): Svd {
  const basis = (all: Matrix): Matrix => matrix(u.rows, all.columns, all.data.slice(0, u.rows * all.columns))
  return { u: transposedMultiply(basis(us), u), s, v: transposedMultiply(basis(vs), v) }
}

export interface RandomizedOptions {
  /** Columns drawn beyond the rank. @default 10 */
  readonly oversampling?: number
  /** Times the sketch is multiplied by M·Mᵀ: more for spectra that fall slowly. @default 2 */
  readonly iterations?: number
  readonly seed?: number
}

/**
 * The `rank` largest values by a random sketch with power iterations (Halko, Martinsson, Tropp, arXiv 0909.4061,
 * algorithms 4.4 and 5.1).
 * @throws LowrankError as `topSvd`
 */
export function randomizedSvd(m: Matrix, rank: number, options: RandomizedOptions = {}): Svd {
  const { oversampling = 10, iterations = 2, seed = 0 } = options
  checkFinite(m, 'a singular value decomposition')
  checkRank(m, rank)
  const width = Math.min(rank + oversampling, m.rows, m.columns)
  const random = new RandomStream(seed, 'randomized-svd')
  const sketch = matrix(m.columns, width)
  for (let i = 0; i < sketch.data.length; i++) sketch.data[i] = random.normal()
  const mt = transpose(m)
  let { q } = qr(multiply(m, sketch))
  for (let i = 0; i < iterations; i++) q = qr(multiply(m, qr(multiply(mt, q)).q)).q
  const { u, s, v } = svd(transposedMultiply(q, m))
  return truncated({ u: multiply(q, u), s, v }, rank)
}

/** U · diag(s) · Vᵀ, f64[m, n]. */
export function recompose({ u, s, v }: Svd): Matrix {
  const vt = transpose(v)
  for (let i = 0; i < s.length; i++) scaleBy(row(vt, i), s[i] ?? 0)
  return multiply(u, vt)
}
