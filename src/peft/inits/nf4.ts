/**
 * @file NF4, the 4-bit type of QLoRA (arXiv 2305.14314, appendix E), emulated: values as they are after quantising in
 * blocks and reading back, in floats. Must not know what the values are.
 */

/** Quantiles of a normal distribution, scaled to ±1, one of them 0. */
const LEVELS = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
] as const

/** Numbers that share one scale, the largest magnitude among them. */
export const NF4_BLOCK = 64

/** Halfway between neighbours: below the i-th, level i is the nearest. */
const BORDERS = LEVELS.slice(1).map((level, i) => (level + (LEVELS[i] ?? 0)) / 2)

/** What is left of the values, in blocks along memory. */
export function throughNf4(values: Float32Array, block: number = NF4_BLOCK): Float32Array {
  const out = new Float32Array(values.length)
  for (let start = 0; start < values.length; start += block) {
    const part = values.subarray(start, start + block)
    const largest = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    if (largest === 0) continue
    for (const [i, value] of part.entries()) out[start + i] = nearestLevel(value / largest) * largest
  }
  return out
}

function nearestLevel(share: number): number {
  let [low, high] = [0, BORDERS.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (share > (BORDERS[middle] ?? 1)) low = middle + 1
    else high = middle
  }
  return LEVELS[low] ?? 0
}
