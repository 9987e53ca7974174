/**
 * @file The host's low-rank product: s·B·A row by row in the layout of the weight it is added to, so that no second
 * matrix of the weight's size is ever held. Must not know files, configs or graphs.
 */
import { invariant, LowrankError } from '../support/errors.ts'
import { f32ToHalves, halvesToF32 } from '../tensor/half.ts'
import { type HostTensor, type TypedTensor, tensor } from '../tensor/host-tensor.ts'

/** Values of a float tensor as f32: the tensor's own array when it is f32, so not to be written to. */
export function asF32(value: HostTensor, name: string): Float32Array {
  if (value.dtype === 'f32') return value.data
  if (value.dtype === 'f16' || value.dtype === 'bf16') return halvesToF32(value.dtype, value.data)
  throw new LowrankError('format', `${name} has dtype ${value.dtype}, expected f32, f16 or bf16`, { field: name })
}

/** f32 values stored in the dtype and shape of `like`, rounded once. */
export function storeLike(like: Pick<HostTensor, 'dtype' | 'shape'>, values: Float32Array): HostTensor {
  if (like.dtype === 'f16' || like.dtype === 'bf16')
    return tensor(like.dtype, like.shape, f32ToHalves(like.dtype, values))
  return tensor('f32', like.shape, values)
}

/** The factors of one update, oriented so that row i of the weight gets Σₖ left[i, k] · right[k, :]. */
export interface RowFactors {
  readonly rows: number
  readonly columns: number
  readonly rank: number
  /** f32[rows, rank] */
  readonly left: Float32Array
  /** f32[rank, columns] */
  readonly right: Float32Array
}

/**
 * Orients A and B for a weight stored `[out, in]` (linear) or `[in, out]` (Conv1D and embeddings, where rows are tokens).
 * @param a f32[r, in]
 * @param b f32[out, r]
 */
export function rowFactors(transposed: boolean, a: HostTensor, b: HostTensor, name: string): RowFactors {
  const [rank = 0, inFeatures = 0] = a.shape
  const [outFeatures = 0, rankB = 0] = b.shape
  invariant(rank === rankB, `${name}: A is [${a.shape}] and B is [${b.shape}]`)
  const [aValues, bValues] = [asF32(a, name), asF32(b, name)]
  if (!transposed) return { rows: outFeatures, columns: inFeatures, rank, left: bValues, right: aValues }
  return {
    rows: inFeatures,
    columns: outFeatures,
    rank,
    left: flip(aValues, rank, inFeatures),
    right: flip(bValues, outFeatures, rank),
  }
}

function flip(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j] ?? 0
  return out
}

/** A matrix transposed, as f32. */
export function transpose(value: HostTensor, name: string): TypedTensor<'f32'> {
  const [rows = 0, columns = 0] = value.shape
  invariant(value.shape.length === 2, `${name} is [${value.shape}], not a matrix`)
  return tensor('f32', [columns, rows], flip(asF32(value, name), rows, columns))
}

/** Calls `use(row, i)` with scale · (left · right) for each row i, summed in f64. The row's array is used again. */
export function forEachRow(factors: RowFactors, scale: number, use: (row: Float64Array, i: number) => void): void {
  const { rows, columns, rank, left, right } = factors
  const row = new Float64Array(columns)
  const lines = Array.from({ length: rank }, (_, k) => right.subarray(k * columns, (k + 1) * columns))
  for (let i = 0; i < rows; i++) {
    row.fill(0)
    const at = i * rank
    for (let k = 0; k < rank; k += 4) {
      const [l0, l1, l2, l3] = [lines[k], lines[k + 1], lines[k + 2], lines[k + 3]]
      const c0 = scale * (left[at + k] ?? 0)
      if (l0 && l1 && l2 && l3)
        addFour(
          row,
          l0,
          l1,
          l2,
          l3,
          c0,
          scale * (left[at + k + 1] ?? 0),
          scale * (left[at + k + 2] ?? 0),
          scale * (left[at + k + 3] ?? 0),
        )
      else for (let m = k; m < rank; m++) addOne(row, lines[m] ?? row.subarray(0, 0), scale * (left[at + m] ?? 0))
    }
    use(row, i)
  }
}

/** Four terms a pass: the running sum is read and written a quarter as often. */
function addFour(
  row: Float64Array,
  l0: ArrayLike<number>,
  l1: ArrayLike<number>,
  l2: ArrayLike<number>,
  l3: ArrayLike<number>,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
): void {
  for (let j = 0; j < row.length; j++)
    row[j] = (row[j] ?? 0) + c0 * (l0[j] ?? 0) + c1 * (l1[j] ?? 0) + c2 * (l2[j] ?? 0) + c3 * (l3[j] ?? 0)
}

function addOne(row: Float64Array, line: ArrayLike<number>, c: number): void {
  for (let j = 0; j < row.length; j++) row[j] = (row[j] ?? 0) + c * (line[j] ?? 0)
}

/**
 * The update itself, in the weight's layout: s·B·A, transposed for Conv1D and embeddings.
 * @returns f32[out, in], or f32[in, out]
 */
export function deltaWeight(
  transposed: boolean,
  a: HostTensor,
  b: HostTensor,
  scale: number,
  name: string,
): TypedTensor<'f32'> {
  const factors = rowFactors(transposed, a, b, name)
  const out = new Float32Array(factors.rows * factors.columns)
  forEachRow(factors, scale, (row, i) => out.set(row, i * factors.columns))
  return tensor('f32', [factors.rows, factors.columns], out)
}

/**
 * ‖W + s·B·A‖₂ of each output: of each row of a linear weight, of each column of a Conv1D or embedding weight.
 * @param weight f32 of the stored shape
 * @returns f32[out]
 */
export function outputNorms(
  transposed: boolean,
  weight: Float32Array,
  factors: RowFactors,
  scale: number,
): Float32Array {
  const { columns } = factors
  const squares = new Float64Array(transposed ? columns : factors.rows)
  forEachRow(factors, scale, (row, i) => {
    const at = i * columns
    let sum = 0
    for (let j = 0; j < columns; j++) {
      const value = (weight[at + j] ?? 0) + (row[j] ?? 0)
      if (transposed) squares[j] = (squares[j] ?? 0) + value * value
      else sum += value * value
    }
    if (!transposed) squares[i] = sum
  })
  return Float32Array.from(squares, Math.sqrt)
}
