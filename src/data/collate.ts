/**
 * @file Examples to one batch: padding, segments, positions, and the rows whose states predict a label.
 * Must not know order or packing.
 */
import { invariant, LowrankError } from '../support/errors.ts'
import { f32, i64, tensor } from '../tensor/host-tensor.ts'
import type { Batch } from './batch.ts'
import { type Example, type LabelsAt, NO_LABEL } from './example.ts'

export interface CollateOptions {
  /** Id that padding gets; nothing is computed from it. Default 0. */
  pad?: number
  /** The length is rounded up to a multiple of this. Default 1. */
  multipleOf?: number
  /** Default `next`. */
  labelsAt?: LabelsAt | undefined
}

/**
 * Puts rows of samples, one or more a row, into a batch as long as its longest row.
 * @throws LowrankError `data` where no token carries a label
 */
export function collate(
  rows: readonly (readonly Example[])[],
  { pad = 0, multipleOf = 1, labelsAt = 'next' }: CollateOptions = {},
): Batch {
  invariant(rows.length > 0, 'a batch needs rows')
  const lengths = rows.map((row) => row.reduce((sum, example) => sum + example.ids.length, 0))
  const seq = Math.ceil(Math.max(...lengths) / multipleOf) * multipleOf
  const shape = [rows.length, seq]
  const ids = new BigInt64Array(rows.length * seq).fill(BigInt(pad))
  const segments = new BigInt64Array(rows.length * seq)
  const positions = new BigInt64Array(rows.length * seq)
  const places = new Uint32Array(rows.length * seq)
  const labelRows: number[] = []
  const labels: number[] = []
  const targets: number[] = []
  const back = labelsAt === 'next' ? 1 : 0
  rows.forEach((row, r) => {
    let at = r * seq
    row.forEach((example, k) => {
      segments.fill(BigInt(k + 1), at, at + example.ids.length)
      places.fill(example.place, at, at + example.ids.length)
      example.ids.forEach((id, t) => {
        ids[at + t] = BigInt(id)
        positions[at + t] = BigInt(t)
        const label = example.labels[t] ?? NO_LABEL
        if (t < back || label === NO_LABEL) return
        labelRows.push(at + t - back)
        labels.push(label)
        if (example.target !== undefined) targets.push(example.target)
      })
      at += example.ids.length
    })
  })
  if (labels.length === 0)
    throw new LowrankError('data', `no token of the batch beginning at ${rows[0]?.[0]?.source} carries loss`, {
      file: rows[0]?.[0]?.source,
    })
  return {
    ids: tensor('i64', shape, ids),
    segments: tensor('i64', shape, segments),
    positions: tensor('i64', shape, positions),
    places: tensor('u32', shape, places),
    labelRows: i64([labels.length], labelRows),
    labels: i64([labels.length], labels),
    ...(targets.length > 0 ? { targets: f32([targets.length], targets) } : {}),
    ...typesOf(rows, shape),
    tokens: lengths.reduce((sum, length) => sum + length, 0),
    examples: rows.reduce((sum, row) => sum + row.length, 0),
  }
}

function typesOf(rows: readonly (readonly Example[])[], shape: readonly number[]): Pick<Batch, 'types'> {
  if (!rows.some((row) => row.some(({ types }) => types))) return {}
  const [count = 0, seq = 0] = shape
  const values = new BigInt64Array(count * seq)
  rows.forEach((row, r) => {
    let at = r * seq
    for (const { ids, types } of row) {
      types?.forEach((type, t) => {
        values[at + t] = BigInt(type)
      })
      at += ids.length
    }
  })
  return { types: tensor('i64', shape, values) }
}
