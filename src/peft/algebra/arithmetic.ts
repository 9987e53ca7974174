/**
 * @file Weighted sums of tensors with what is pruned of them and which signs they agree on: task arithmetic, TIES (arXiv
 * 2306.01708), DARE (arXiv 2311.03099), as peft/utils/merge_utils.py 0.21 computes them.
 * Must not know adapters.
 */
import { RandomStream } from '../../support/random.ts'

/** How tensors of one shape become one. */
export interface Arithmetic {
  /** Which values are kept before the sum. @default all */
  readonly keep?: 'largest' | 'random' | undefined
  /** Share of values that is kept, above 0 and at most 1. */
  readonly density: number
  /** Only values of the majority's sign count, and are averaged (TIES). @default all values are summed */
  readonly elect?: 'total' | 'frequency' | undefined
  readonly seed: number
}

/** One value of the result from one tensor each. */
export interface Term {
  readonly values: Float64Array
  readonly weight: number
  /** Names the random stream that DARE draws from: the adapter and the tensor. */
  readonly name: string
}

/** @param terms of one length */
export function combineValues(terms: readonly Term[], how: Arithmetic): Float64Array {
  const kept = terms.map((term) => ({ weight: term.weight, values: prune(term, how) }))
  const length = terms[0]?.values.length ?? 0
  const out = new Float64Array(length)
  for (let i = 0; i < length; i++) out[i] = how.elect ? elected(kept, i, how.elect) : summed(kept, i)
  return out
}

type Kept = readonly { readonly weight: number; readonly values: Float64Array }[]

function summed(terms: Kept, i: number): number {
  let sum = 0
  for (const { weight, values } of terms) sum += weight * (values[i] ?? 0)
  return sum
}

/** The weighted mean of the values that have the sign of the majority, which is + where there is none. */
function elected(terms: Kept, i: number, method: 'total' | 'frequency'): number {
  let votes = 0
  for (const { values } of terms) votes += method === 'total' ? (values[i] ?? 0) : Math.sign(values[i] ?? 0)
  const sign = votes >= 0 ? 1 : -1
  let [sum, count] = [0, 0]
  for (const { weight, values } of terms) {
    if (Math.sign(values[i] ?? 0) !== sign) continue
    sum += weight * (values[i] ?? 0)
    count++
  }
  return sum / Math.max(1, count)
}

function prune({ values, name }: Term, { keep, density, seed }: Arithmetic): Float64Array {
  if (keep === undefined || density >= 1) return values
  return keep === 'largest'
    ? largest(values, density)
    : dropped(values, density, new RandomStream(seed, `dare/${name}`))
}

/** The largest by size, `density` of them rounded down; of equal ones the first. */
function largest(values: Float64Array, density: number): Float64Array {
  const count = Math.floor(density * values.length)
  const out = new Float64Array(values.length)
  const order = Uint32Array.from(values.keys()).sort(
    (i, j) => Math.abs(values[j] ?? 0) - Math.abs(values[i] ?? 0) || i - j,
  )
  for (const i of order.subarray(0, count)) out[i] = values[i] ?? 0
  return out
}

/** Each value stays with probability `density`, and is then larger by as much. */
function dropped(values: Float64Array, density: number, random: RandomStream): Float64Array {
  return values.map((value) => (random.uniform() < density ? value / density : 0))
}
