/**
 * @file QR decomposition by Householder reflections (Golub and Van Loan, section 5.2), with LAPACK's signs: what
 * torch.linalg.qr gives. Must not know anything but matrices.
 */
import { addScaled, checkFinite, dot, type Matrix, matrix, row, transpose } from './matrix.ts'

/**
 * M = Q · R.
 * @param m f64[m, n]
 * @param only with 'r', q is not computed: f64[m, 0]
 * @returns q f64[m, k] with orthonormal columns, r f64[k, n] upper triangular; k = min(m, n)
 * @throws LowrankError `data` for an empty matrix or numbers that are not finite
 */
export function qr(m: Matrix, only?: 'r'): { q: Matrix; r: Matrix } {
  checkFinite(m, 'QR')
  const k = Math.min(m.rows, m.columns)
  const columns = transpose(m) // row j is column j, so that reflections run along memory
  const reflections: Reflection[] = []
  for (let j = 0; j < k; j++) {
    const reflection = reflectionOf(row(columns, j).subarray(j))
    reflections.push(reflection)
    for (let other = j; other < m.columns; other++) reflect(row(columns, other).subarray(j), reflection)
  }
  const r = matrix(k, m.columns)
  for (let i = 0; i < k; i++)
    for (let j = i; j < m.columns; j++) r.data[i * m.columns + j] = columns.data[j * m.rows + i] ?? 0
  return { q: only === 'r' ? matrix(m.rows, 0) : transpose(formQ(reflections, k, m.rows)), r }
}

/** I − tau · v · vᵀ, with v[0] = 1. */
export interface Reflection {
  readonly v: Float64Array
  readonly tau: number
}

/** The reflection that leaves only the first element of `x`, of the other sign (LAPACK dlarfg). */
export function reflectionOf(x: Float64Array): Reflection {
  const [first = 0] = x
  const rest = Math.sqrt(dot(x.subarray(1), x.subarray(1)))
  const v = Float64Array.from(x)
  v[0] = 1
  if (rest === 0) return { v, tau: 0 }
  const beta = -Math.sign(first || 1) * Math.hypot(first, rest)
  for (let i = 1; i < v.length; i++) v[i] = (v[i] ?? 0) / (first - beta)
  return { v, tau: (beta - first) / beta }
}

/** x ← (I − tau·v·vᵀ) · x. */
export function reflect(x: Float64Array, { v, tau }: Reflection): void {
  if (tau !== 0) addScaled(x, v, -tau * dot(x, v))
}

/** The first k columns of the product of the reflections, as rows. */
function formQ(reflections: readonly Reflection[], k: number, length: number): Matrix {
  const out = matrix(k, length)
  for (let j = 0; j < k; j++) {
    const column = row(out, j)
    column[j] = 1
    // Reflections beyond j leave the unit vector j alone.
    for (let i = j; i >= 0; i--) {
      const reflection = reflections[i]
      if (reflection) reflect(column.subarray(i), reflection)
    }
  }
  return out
}
