/**
 * @file Dense matrices in f64 and their products, written so that inner loops run along memory.
 * Must not know tensors of a model, graphs or adapters.
 */
import { LowrankError } from '../support/errors.ts'

/** Row-major: element (i, j) is `data[i · columns + j]`. */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly data: Float64Array
}

export function matrix(rows: number, columns: number, data: Float64Array = new Float64Array(rows * columns)): Matrix {
  return { rows, columns, data }
}

export function identity(n: number): Matrix {
  const out = matrix(n, n)
  for (let i = 0; i < n; i++) out.data[i * n + i] = 1
  return out
}

/** Row i, sharing memory. */
export function row({ columns, data }: Matrix, i: number): Float64Array {
  return data.subarray(i * columns, (i + 1) * columns)
}

/** A · B. @param a f64[m, k] @param b f64[k, n] @returns f64[m, n] */
export function multiply(a: Matrix, b: Matrix): Matrix {
  return multiplyTransposed(a, transpose(b))
}

/** Aᵀ · B. @param a f64[k, m] @param b f64[k, n] @returns f64[m, n] */
export function transposedMultiply(a: Matrix, b: Matrix): Matrix {
  return multiplyTransposed(transpose(a), transpose(b))
}

/** Elements of a dot product, and rows of B, that are taken at a time: together 128 KiB, which stays in cache. */
const DEPTH = 256
const WIDTH = 64

/** A · Bᵀ. @param a f64[m, k] @param b f64[n, k] @returns f64[m, n] */
export function multiplyTransposed(a: Matrix, b: Matrix): Matrix {
  const [m, n, k] = [a.rows, b.rows, a.columns]
  const out = matrix(m, n)
  const [evenRows, wholeColumns] = [m - (m % 2), n - (n % 4)]
  for (let from = 0; from < k; from += DEPTH) {
    const to = Math.min(k, from + DEPTH)
    for (let j0 = 0; j0 < wholeColumns; j0 += WIDTH) {
      const j1 = Math.min(wholeColumns, j0 + WIDTH)
      for (let i = 0; i < evenRows; i += 2)
        for (let j = j0; j < j1; j += 4) addDots(out.data, n, a.data, b.data, k, i, j, from, to)
    }
  }
  for (let i = 0; i < m; i++)
    for (let j = i < evenRows ? wholeColumns : 0; j < n; j++) out.data[i * n + j] = dot(row(a, i), row(b, j))
  return out
}

/** Eight dot products at once, of two rows of A and four of B: each number that is read is used several times. */
function addDots(
  out: Float64Array,
  n: number,
  a: Float64Array,
  b: Float64Array,
  k: number,
  i: number,
  j: number,
  from: number,
  to: number,
): void {
  const [a0, a1] = [i * k, (i + 1) * k]
  const [b0, b1, b2, b3] = [j * k, (j + 1) * k, (j + 2) * k, (j + 3) * k]
  let [s0, s1, s2, s3, t0, t1, t2, t3] = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let p = from; p < to; p++) {
    const x = a[a0 + p] ?? 0
    const y = a[a1 + p] ?? 0
    const z0 = b[b0 + p] ?? 0
    const z1 = b[b1 + p] ?? 0
    const z2 = b[b2 + p] ?? 0
    const z3 = b[b3 + p] ?? 0
    s0 += x * z0
    s1 += x * z1
    s2 += x * z2
    s3 += x * z3
    t0 += y * z0
    t1 += y * z1
    t2 += y * z2
    t3 += y * z3
  }
  const at = i * n + j
  out[at] = (out[at] ?? 0) + s0
  out[at + 1] = (out[at + 1] ?? 0) + s1
  out[at + 2] = (out[at + 2] ?? 0) + s2
  out[at + 3] = (out[at + 3] ?? 0) + s3
  out[at + n] = (out[at + n] ?? 0) + t0
  out[at + n + 1] = (out[at + n + 1] ?? 0) + t1
  out[at + n + 2] = (out[at + n + 2] ?? 0) + t2
  out[at + n + 3] = (out[at + n + 3] ?? 0) + t3
}

/** into += factor · x. */
export function addScaled(into: Float64Array, x: Float64Array, factor: number): void {
  for (let j = 0; j < into.length; j++) into[j] = (into[j] ?? 0) + factor * (x[j] ?? 0)
}

export function scaleBy(x: Float64Array, factor: number): void {
  for (let j = 0; j < x.length; j++) x[j] = (x[j] ?? 0) * factor
}

export function dot(x: Float64Array, y: Float64Array): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0]
  let j = 0
  for (; j + 3 < x.length; j += 4) {
    s0 += (x[j] ?? 0) * (y[j] ?? 0)
    s1 += (x[j + 1] ?? 0) * (y[j + 1] ?? 0)
    s2 += (x[j + 2] ?? 0) * (y[j + 2] ?? 0)
    s3 += (x[j + 3] ?? 0) * (y[j + 3] ?? 0)
  }
  for (; j < x.length; j++) s0 += (x[j] ?? 0) * (y[j] ?? 0)
  return s0 + s1 + s2 + s3
}

export function transpose({ rows, columns, data }: Matrix): Matrix {
  const out = matrix(columns, rows)
  // In tiles, so that both sides stay in cache.
  const tile = 32
  for (let i0 = 0; i0 < rows; i0 += tile)
    for (let j0 = 0; j0 < columns; j0 += tile)
      for (let i = i0; i < Math.min(rows, i0 + tile); i++)
        for (let j = j0; j < Math.min(columns, j0 + tile); j++) out.data[j * rows + i] = data[i * columns + j] ?? 0
  return out
}

/** The first `count` columns. */
export function firstColumns(m: Matrix, count: number): Matrix {
  const out = matrix(m.rows, count)
  for (let i = 0; i < m.rows; i++) out.data.set(row(m, i).subarray(0, count), i * count)
  return out
}

/** Column j of the result is column j of `m` times `factors[j]`. */
export function scaleColumns(m: Matrix, factors: Float64Array): Matrix {
  const data = Float64Array.from(m.data, (value, i) => value * (factors[i % m.columns] ?? 0))
  return matrix(m.rows, m.columns, data)
}

/** a − b, of one shape. */
export function subtract(a: Matrix, b: Matrix): Matrix {
  return matrix(
    a.rows,
    a.columns,
    a.data.map((value, i) => value - (b.data[i] ?? 0)),
  )
}

export function frobeniusNorm({ data }: Matrix): number {
  return Math.sqrt(dot(data, data))
}

/** @throws LowrankError `data` for a matrix without elements, `numeric` for one that is not a number. */
export function checkFinite(m: Matrix, what: string): void {
  if (m.rows === 0 || m.columns === 0)
    throw new LowrankError('data', `${what} needs a matrix with elements; this one is ${m.rows} by ${m.columns}`)
  const bad = m.data.findIndex((value) => !Number.isFinite(value))
  if (bad < 0) return
  const at = `row ${Math.floor(bad / m.columns)}, column ${bad % m.columns}`
  throw new LowrankError('numeric', `${what} needs finite numbers; ${at} is ${m.data[bad]}`)
}
