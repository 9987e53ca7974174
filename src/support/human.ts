/** @file Numbers as people read them. Must not know what they measure. */

/** 1234567 → `1,234,567`. */
export function count(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** 1234567 → `1.23 M`; below 10,000 as it is. */
export function short(n: number): string {
  if (Math.abs(n) < 10_000) return count(n)
  for (const [unit, size] of [
    ['B', 1e9],
    ['M', 1e6],
    ['K', 1e3],
  ] as const)
    if (Math.abs(n) >= size) return `${significant(n / size)} ${unit}`
  return count(n)
}

/** Bytes in steps of 1024, three digits: `1.25 GiB`. */
export function bytes(n: number): string {
  let [value, unit] = [n, 0]
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : significant(value)} ${units[unit]}`
}

/** 4.2 → `4.2 s`, 75 → `1 min 15 s`, 4000 → `1 h 7 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`
}

/** A share of 1 as per cent: `0.37 %`, `12 %`. */
export function percent(share: number): string {
  const value = share * 100
  return `${value !== 0 && Math.abs(value) < 10 ? significant(value, 2) : Math.round(value)} %`
}

/** A number in three digits or so, small and large ones in powers of ten: `2e-4`, `0.0312`, `12.3`. */
export function significant(n: number, digits = 3): string {
  if (!Number.isFinite(n)) return String(n)
  if (n !== 0 && (Math.abs(n) < 1e-3 || Math.abs(n) >= 1e6))
    return n
      .toExponential(digits - 1)
      .replace(/\.?0*e/, 'e')
      .replace('e+', 'e')
  return String(Number(n.toPrecision(Math.abs(n) >= 10 ** digits ? Math.floor(Math.log10(Math.abs(n))) + 1 : digits)))
}
