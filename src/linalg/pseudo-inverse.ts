/**
 * @file The Moore-Penrose inverse of a symmetric positive matrix, cut as torch cuts it. Knows plain arrays alone.
 */

/**
 * @param matrix f64[n, n], symmetric, no eigenvalue below zero
 * @param share eigenvalues at or below this share of the largest count as zero
 */
export function symmetricPseudoInverse(matrix: Float64Array, n: number, share: number): Float64Array {
  const inverse = choleskyInverse(matrix, n)
  // λmax ≤ trace and 1/λmin ≤ ‖M⁻¹‖: where even these bounds lie above the cut, nothing is cut.
  if (inverse && 1 / norm(inverse) > share * trace(matrix, n)) return inverse
  return cutInverse(matrix, n, share)
}

const norm = (m: Float64Array): number => Math.sqrt(m.reduce((sum, value) => sum + value * value, 0))
const trace = (m: Float64Array, n: number): number => m.reduce((sum, v, i) => (i % (n + 1) === 0 ? sum + v : sum), 0)

/** (L·Lᵀ)⁻¹ by L⁻¹; undefined where a pivot is not above zero. */
function choleskyInverse(matrix: Float64Array, n: number): Float64Array | undefined {
  const low = new Float64Array(n * n) // L, then L⁻¹ below
  const at = (i: number, j: number): number => low[i * n + j] ?? 0
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = matrix[i * n + j] ?? 0
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k)
      if (i > j) low[i * n + j] = sum / at(j, j)
      else if (sum > 0) low[i * n + i] = Math.sqrt(sum)
      else return undefined
    }
  }
  const inverse = new Float64Array(n * n)
  for (let j = 0; j < n; j++)
    for (let i = j; i < n; i++) {
      let sum = i === j ? 1 : 0
      for (let k = j; k < i; k++) sum -= at(i, k) * (inverse[k * n + j] ?? 0)
      inverse[i * n + j] = sum / at(i, i)
    }
  const out = new Float64Array(n * n)
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0
      for (let k = i; k < n; k++) sum += (inverse[k * n + i] ?? 0) * (inverse[k * n + j] ?? 0)
      out[i * n + j] = sum
      out[j * n + i] = sum
    }
  return out
}

/** V · diag(1/λ where λ is above the cut, else 0) · Vᵀ. */
function cutInverse(matrix: Float64Array, n: number, share: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, n)
  const cut = share * Math.max(...values)
  const out = new Float64Array(n * n)
  for (let k = 0; k < n; k++) {
    const value = values[k] ?? 0
    if (value <= cut) continue
    for (let i = 0; i < n; i++) {
      const factor = (vectors[i * n + k] ?? 0) / value
      for (let j = 0; j < n; j++) out[i * n + j] = (out[i * n + j] ?? 0) + factor * (vectors[j * n + k] ?? 0)
    }
  }
  return out
}

/**
 * Eigenvalues and eigenvectors of a symmetric matrix, in no order (cyclic Jacobi; Golub & Van Loan, section 8.5).
 * @param matrix f64[n, n]
 * @returns vectors f64[n, n], one a column
 */
export function symmetricEigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const m = matrix.slice()
  const vectors = Float64Array.from(m, (_, i) => (i % (n + 1) === 0 ? 1 : 0))
  const size = norm(m)
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        off += (m[p * n + q] ?? 0) ** 2
        rotate(m, vectors, n, p, q)
      }
    if (Math.sqrt(off) <= 1e-15 * size) break
  }
  return { values: Float64Array.from({ length: n }, (_, i) => m[i * (n + 1)] ?? 0), vectors }
}

/** Turns the plane of rows and columns p and q so that their common entry is zero. */
function rotate(m: Float64Array, vectors: Float64Array, n: number, p: number, q: number): void {
  const common = m[p * n + q] ?? 0
  if (common === 0) return
  const theta = ((m[q * n + q] ?? 0) - (m[p * n + p] ?? 0)) / (2 * common)
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
  const c = 1 / Math.sqrt(t * t + 1)
  const s = t * c
  const turn = (data: Float64Array, i: number, j: number): void => {
    const [x, y] = [data[i] ?? 0, data[j] ?? 0]
    data[i] = c * x - s * y
    data[j] = s * x + c * y
  }
  for (let k = 0; k < n; k++) turn(m, k * n + p, k * n + q)
  for (let k = 0; k < n; k++) turn(m, p * n + k, q * n + k)
  for (let k = 0; k < n; k++) turn(vectors, k * n + p, k * n + q)
}
