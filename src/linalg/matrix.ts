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

export function matrix(rows: number, columns: number, data = new Float64Array(rows * columns)): Matrix {
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
  const out = matrix(a.rows, b.columns)
  for (let i = 0; i < a.rows; i++) {
    const into = row(out, i)
    const from = row(a, i)
    let k = 0
    // Four rows of B at once: the sum is read and written a quarter as often.
    for (; k + 3 < a.columns; k += 4) addRows(into, b, k, from)
    for (; k < a.columns; k++) addScaled(into, row(b, k), from[k] ?? 0)
  }
  return out
}

/** A · Bᵀ. @param a f64[m, k] @param b f64[n, k] @returns f64[m, n] */
export function multiplyTransposed(a: Matrix, b: Matrix): Matrix {
  return multiply(a, transpose(b))
}

/** Aᵀ · B. @param a f64[k, m] @param b f64[k, n] @returns f64[m, n] */
export function transposedMultiply(a: Matrix, b: Matrix): Matrix {
  return multiply(transpose(a), b)
}

function addRows(into: Float64Array, { data, columns: n }: Matrix, k: number, factors: Float64Array): void {
  const [f0, f1, f2, f3] = [factors[k] ?? 0, factors[k + 1] ?? 0, factors[k + 2] ?? 0, factors[k + 3] ?? 0]
  const [o0, o1, o2, o3] = [k * n, (k + 1) * n, (k + 2) * n, (k + 3) * n]
  for (let j = 0; j < n; j++) {
    into[j] =
      (into[j] ?? 0) +
      f0 * (data[o0 + j] ?? 0) +
      f1 * (data[o1 + j] ?? 0) +
      f2 * (data[o2 + j] ?? 0) +
      f3 * (data[o3 + j] ?? 0)
  }
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
