/** @file Ranges, round tick marks and thinning for charts. Must not know SVG. */

export interface Point {
  x: number
  y: number
}

export interface Scale {
  min: number
  max: number
  ticks: number[]
}

/** A range with round ends around the values: ticks at 1, 2 or 5 times a power of ten. Never empty. */
export function niceScale(values: readonly number[], target = 5): Scale {
  const finite = values.filter(Number.isFinite)
  let low = finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  let high = finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  if (finite.length === 0) [low, high] = [0, 1]
  if (low === high) [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2]
  const step = roundStep((high - low) / target)
  // Ticks as whole multiples of the step, so that 0.1 × 3 is not 0.30000000000000004.
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)]
  const digits = Math.max(0, -Math.floor(Math.log10(step)))
  const ticks = Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toFixed(Math.min(digits, 20))),
  )
  return { min: first * step, max: last * step, ticks }
}

function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough))
  const share = rough / power
  return (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10) * power
}

/** Thins a curve to about `most` points, keeping the lowest and highest of each stretch, so that spikes stay visible. */
export function thin(points: readonly Point[], most: number): Point[] {
  if (points.length <= most) return [...points]
  const buckets = Math.max(1, Math.floor(most / 2))
  const kept: Point[] = []
  for (let b = 0; b < buckets; b++) {
    const stretch = points.slice(
      Math.floor((b * points.length) / buckets),
      Math.floor(((b + 1) * points.length) / buckets),
    )
    const finite = stretch.filter((point) => Number.isFinite(point.y))
    const [first] = finite
    if (first === undefined) continue
    const low = finite.reduce((a, p) => (p.y < a.y ? p : a), first)
    const high = finite.reduce((a, p) => (p.y > a.y ? p : a), first)
    kept.push(...(low === high ? [low] : low.x < high.x ? [low, high] : [high, low]))
  }
  return kept
}

/**
 * A moving average over about `window` points without lag: the mean of an exponential average from the left and one from
 * the right, each with its start corrected as Adam's. Points that are not finite are left out.
 */
export function smooth(points: readonly Point[], window: number): Point[] {
  const finite = points.filter((point) => Number.isFinite(point.y))
  const values = finite.map((point) => point.y)
  const forward = averages(values, 1 - 1 / Math.max(1, window))
  const backward = averages(values.reverse(), 1 - 1 / Math.max(1, window)).reverse()
  return finite.map(({ x }, i) => ({ x, y: ((forward[i] ?? 0) + (backward[i] ?? 0)) / 2 }))
}

function averages(values: readonly number[], keep: number): number[] {
  let [average, weight] = [0, 0]
  return values.map((value) => {
    average = keep * average + (1 - keep) * value
    weight = keep * weight + (1 - keep)
    return average / weight
  })
}
