/**
 * @file From a matrix to an upper bidiagonal one by reflections from both sides (Golub and Kahan 1965), and from there
 * to singular values by implicit QR steps with shifts (Golub and Van Loan, section 8.6).
 * Must not know what the decomposition is for.
 */
import { LowrankError } from '../support/errors.ts'
import { addScaled, dot, identity, type Matrix, matrix, row, transpose } from './matrix.ts'
import { type Reflection, reflect, reflectionOf } from './qr.ts'

/** A = U · B · Vᵀ. */
export interface Bidiagonal {
  /** B's diagonal, f64[n]. */
  readonly d: Float64Array
  /** What stands right of it, f64[n − 1]. */
  readonly e: Float64Array
  /** Column j of U as row j: f64[n, m]. */
  readonly ut: Matrix
  /** Column j of V as row j: f64[n, n]. */
  readonly vt: Matrix
}

/**
 * @param input f64[m, n] with m ≥ n
 * @param vectors without them U and V are f64[n, 0], and only B is found, in a third of the time
 */
export function bidiagonalize(input: Matrix, vectors = true): Bidiagonal {
  const { rows: m, columns: n } = input
  const a = matrix(m, n, Float64Array.from(input.data))
  const [d, e] = [new Float64Array(n), new Float64Array(Math.max(0, n - 1))]
  const [left, right]: [Reflection[], Reflection[]] = [[], []]
  for (let j = 0; j < n; j++) {
    const down = Float64Array.from({ length: m - j }, (_, i) => a.data[(j + i) * n + j] ?? 0)
    const l = reflectionOf(down)
    left.push(l)
    const sums = columnSums(a, j, j, l)
    reflectRow(a, j, j, l, sums, 0)
    d[j] = a.data[j * n + j] ?? 0
    const last = j + 1 >= n
    const r = last ? undefined : reflectionOf(row(a, j).subarray(j + 1))
    if (r) right.push(r)
    // Both reflections while a row is in cache: the matrix is read twice a step, not four times.
    for (let i = j; i < m; i++) {
      if (i > j) reflectRow(a, i, j, l, sums, i - j)
      if (r) reflect(row(a, i).subarray(j + 1), r)
    }
    if (r) e[j] = a.data[j * n + j + 1] ?? 0
  }
  if (!vectors) return { d, e, ut: matrix(n, 0), vt: matrix(n, 0) }
  return { d, e, ut: transpose(product(left, m, n, 0)), vt: transpose(product(right, n, n, 1)) }
}

/** vᵀ · A over rows from `i0` and columns from `j0` on. */
function columnSums(a: Matrix, i0: number, j0: number, { v, tau }: Reflection): Float64Array {
  const sums = new Float64Array(a.columns - j0)
  if (tau !== 0) for (const [i, factor] of v.entries()) addScaled(sums, row(a, i0 + i).subarray(j0), factor)
  return sums
}

/** Row i, columns from `j0` on, of (I − tau·v·vᵀ)·A. */
function reflectRow(a: Matrix, i: number, j0: number, { v, tau }: Reflection, sums: Float64Array, at: number): void {
  if (tau !== 0) addScaled(row(a, i).subarray(j0), sums, -tau * (v[at] ?? 0))
}

/** Rows from `i0` on, columns from `j0` on: A ← (I − tau·v·vᵀ)·A. */
function reflectRows(a: Matrix, i0: number, j0: number, reflection: Reflection): void {
  const sums = columnSums(a, i0, j0, reflection)
  for (let i = 0; i < reflection.v.length; i++) reflectRow(a, i0 + i, j0, reflection, sums, i)
}

/** The first `count` columns of the product of reflections, the j-th acting from row j + shift on: f64[size, count]. */
function product(reflections: readonly Reflection[], size: number, count: number, shift: number): Matrix {
  const out = matrix(size, count)
  for (let i = 0; i < count; i++) out.data[i * count + i] = 1
  for (let j = reflections.length - 1; j >= 0; j--) {
    const reflection = reflections[j]
    // Columns left of the reflection are still unit vectors that it does not touch.
    if (reflection) reflectRows(out, j + shift, j + shift, reflection)
  }
  return out
}

/** Cosine and sine that turn (f, g) into (r, 0). */
function rotation(f: number, g: number): { c: number; s: number; r: number } {
  const r = Math.hypot(f, g)
  return r === 0 ? { c: 1, s: 0, r: 0 } : { c: f / r, s: g / r, r }
}

/** Rows i and j: (x, y) ← (c·x + s·y, −s·x + c·y). */
function rotateRows(m: Matrix, i: number, j: number, c: number, s: number): void {
  const [x, y] = [row(m, i), row(m, j)]
  for (let k = 0; k < x.length; k++) {
    const [a, b] = [x[k] ?? 0, y[k] ?? 0]
    x[k] = c * a + s * b
    y[k] = c * b - s * a
  }
}

const EPSILON = 2 ** -52
const TINY = 2 ** -966
/** QR steps a singular value may take; a few are usual. */
const MOST_STEPS = 60

/** Makes B diagonal in place, carrying U and V along. @throws LowrankError `numeric` where it does not converge */
export function diagonalize(b: Bidiagonal): void {
  const { d, e } = b
  let steps = 0
  for (let end = d.length - 1; end > 0; ) {
    let start = end
    while (start > 0 && !negligible(e[start - 1] ?? 0, d[start - 1] ?? 0, d[start] ?? 0)) start--
    if (start > 0) e[start - 1] = 0
    if (start === end) {
      end--
      steps = 0
      continue
    }
    const zero = zeroOnDiagonal(d, e, start, end)
    if (zero === end) clearColumn(b, start, end)
    else if (zero !== undefined) clearRow(b, zero, end)
    else if (steps++ > MOST_STEPS)
      throw new LowrankError('numeric', 'the singular value decomposition does not converge')
    else step(b, start, end)
  }
}

const negligible = (value: number, a: number, b: number): boolean =>
  Math.abs(value) <= TINY + EPSILON * (Math.abs(a) + Math.abs(b))

/** The last place between start and end whose diagonal counts as zero. */
function zeroOnDiagonal(d: Float64Array, e: Float64Array, start: number, end: number): number | undefined {
  for (let k = end; k >= start; k--) {
    const around = (k < end ? Math.abs(e[k] ?? 0) : 0) + (k > start ? Math.abs(e[k - 1] ?? 0) : 0)
    if (Math.abs(d[k] ?? 0) > TINY + EPSILON * around) continue
    d[k] = 0
    return k
  }
  return undefined
}

/** d[zero] = 0: rotations of rows drive e[zero] out of the matrix to the right. */
function clearRow({ d, e, ut }: Bidiagonal, zero: number, end: number): void {
  let f = e[zero] ?? 0
  e[zero] = 0
  for (let j = zero + 1; j <= end; j++) {
    const { c, s, r } = rotation(d[j] ?? 0, f)
    d[j] = r
    if (j < end) {
      f = -s * (e[j] ?? 0)
      e[j] = c * (e[j] ?? 0)
    }
    rotateRows(ut, j, zero, c, s)
  }
}

/** d[end] = 0: rotations of columns drive e[end − 1] out of the matrix upwards. */
function clearColumn({ d, e, vt }: Bidiagonal, start: number, end: number): void {
  let f = e[end - 1] ?? 0
  e[end - 1] = 0
  for (let j = end - 1; j >= start; j--) {
    const { c, s, r } = rotation(d[j] ?? 0, f)
    d[j] = r
    if (j > start) {
      f = -s * (e[j - 1] ?? 0)
      e[j - 1] = c * (e[j - 1] ?? 0)
    }
    rotateRows(vt, j, end, c, s)
  }
}

/** One implicit QR step on BᵀB, shifted by the eigenvalue of its last 2 × 2 block that is nearer to its end. */
function step({ d, e, ut, vt }: Bidiagonal, start: number, end: number): void {
  const shift = shiftOf(d, e, start, end)
  const first = d[start] ?? 0
  let f = first === 0 ? 0 : (Math.abs(first) - shift) * (Math.sign(first) + shift / first)
  let g = e[start] ?? 0
  for (let j = start; j < end; j++) {
    const right = rotation(f, g)
    if (j > start) e[j - 1] = right.r
    f = right.c * (d[j] ?? 0) + right.s * (e[j] ?? 0)
    e[j] = right.c * (e[j] ?? 0) - right.s * (d[j] ?? 0)
    g = right.s * (d[j + 1] ?? 0)
    d[j + 1] = right.c * (d[j + 1] ?? 0)
    rotateRows(vt, j, j + 1, right.c, right.s)
    const left = rotation(f, g)
    d[j] = left.r
    f = left.c * (e[j] ?? 0) + left.s * (d[j + 1] ?? 0)
    d[j + 1] = left.c * (d[j + 1] ?? 0) - left.s * (e[j] ?? 0)
    if (j + 1 < end) {
      g = left.s * (e[j + 1] ?? 0)
      e[j + 1] = left.c * (e[j + 1] ?? 0)
    }
    rotateRows(ut, j, j + 1, left.c, left.s)
  }
  e[end - 1] = f
}

/** The smaller singular value of the last 2 × 2 block, as LAPACK's dlas2; 0 (no shift) where it would be lost in rounding. */
function shiftOf(d: Float64Array, e: Float64Array, start: number, end: number): number {
  const [f, g, h] = [Math.abs(d[end - 1] ?? 0), Math.abs(e[end - 1] ?? 0), Math.abs(d[end] ?? 0)]
  const [small, large] = [Math.min(f, h), Math.max(f, h)]
  if (small === 0) return 0
  const as = 1 + small / large
  const at = (large - small) / large
  const au = (g / large) ** 2
  const shift = small * (2 / (Math.sqrt(as * as + au) + Math.sqrt(at * at + au)))
  const first = Math.abs(d[start] ?? 0)
  return first > 0 && (shift / first) ** 2 < EPSILON ? 0 : shift
}

/** Columns made orthonormal to each other and to earlier rows of `basis`, twice, which is enough (Kahan and Parlett). */
export function orthogonalize(x: Float64Array, basis: Matrix, count: number): number {
  for (let pass = 0; pass < 2; pass++)
    for (let i = 0; i < count; i++) addScaled(x, row(basis, i), -dot(x, row(basis, i)))
  return Math.sqrt(dot(x, x))
}

/** A square upper bidiagonal matrix as one that `diagonalize` takes. */
export function bidiagonalOf(d: Float64Array, e: Float64Array): Bidiagonal {
  return { d: Float64Array.from(d), e: Float64Array.from(e), ut: identity(d.length), vt: identity(d.length) }
}
