/**
 * @file Means, spreads, bootstrap intervals and components of variance of a few values. Must not know runs.
 * Sources: Efron & Tibshirani 1993 (percentile bootstrap); two-way analysis of variance without repeats.
 */
import { RandomStream } from '../../support/random.ts'
import type { Estimate, SeedEffects } from './types.ts'

export const RESAMPLES = 10_000
/** Fixed, so that the same values have the same interval wherever they are looked at. */
const BOOTSTRAP_SEED = 20_060_598

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Standard deviation of a sample (n − 1); NaN of fewer than two values. */
export function sampleStd(values: readonly number[]): number {
  const middle = mean(values)
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1))
}

/** Linear between the two nearest ranks, as numpy's default. `sorted` ascending, `share` 0 … 1. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = (sorted.length - 1) * share
  const low = Math.floor(at)
  const [a, b] = [sorted[low] ?? Number.NaN, sorted[Math.min(low + 1, sorted.length - 1)] ?? Number.NaN]
  return a + (b - a) * (at - low)
}

/** Percentile bootstrap of the mean, 95 %. */
export function bootstrapInterval(values: readonly number[], resamples = RESAMPLES): [low: number, high: number] {
  const random = new RandomStream(BOOTSTRAP_SEED, 'study/bootstrap')
  const means = new Float64Array(resamples)
  for (let i = 0; i < resamples; i++) {
    let sum = 0
    for (let k = 0; k < values.length; k++) sum += values[random.below(values.length)] ?? 0
    means[i] = sum / values.length
  }
  means.sort()
  return [quantile(means, 0.025), quantile(means, 0.975)]
}

/** Mean, spread and interval of whatever values there are. */
export function estimate(values: readonly number[]): Estimate {
  const n = values.length
  if (n === 0) return { n, mean: null, std: null, ci95: null }
  return { n, mean: mean(values), std: n < 2 ? null : sampleStd(values), ci95: bootstrapInterval(values) }
}

/**
 * What of the spread of `table[data seed][init seed]` comes from its rows, its columns, and neither. Undefined where either
 * has fewer than two, or a value is missing. A component that comes out negative is none: 0.
 */
export function seedEffects(table: readonly (readonly (number | null)[])[]): SeedEffects | undefined {
  const rows = table.map((row) => row.filter((value) => value !== null))
  const [height, width] = [rows.length, table[0]?.length ?? 0]
  if (height < 2 || width < 2 || rows.some((row) => row.length !== width)) return undefined
  const all = mean(rows.flat())
  const rowMeans = rows.map(mean)
  const columnMeans = Array.from({ length: width }, (_, c) => mean(rows.map((row) => row[c] ?? 0)))
  let squares = 0
  for (const [r, row] of rows.entries())
    for (const [c, value] of row.entries()) squares += (value - (rowMeans[r] ?? 0) - (columnMeans[c] ?? 0) + all) ** 2
  const rest = squares / ((height - 1) * (width - 1))
  const [dataMeansStd, initMeansStd] = [sampleStd(rowMeans), sampleStd(columnMeans)]
  const component = (variance: number, repeats: number): number => Math.sqrt(Math.max(0, variance - rest / repeats))
  return {
    dataMeansStd,
    initMeansStd,
    data: component(dataMeansStd ** 2, width),
    init: component(initMeansStd ** 2, height),
    rest: Math.sqrt(rest),
  }
}
