/** @file Nearest valid name to a misspelt one. Every "did you mean" in lowrank comes from here. */

/** Edit distance with adjacent transpositions (optimal string alignment), capped: returns `limit + 1` when above `limit`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1)
      row.push(best)
    }
    beforeLast = last
    last = row
  }
  return Math.min(last[b.length] ?? 0, limit + 1)
}

/** Names within a third of the word's length of edits, nearest first, at most `count`. */
export function nearest(word: string, names: Iterable<string>, count = 1): string[] {
  const limit = Math.max(1, Math.floor(word.length / 3))
  const scored: { name: string; distance: number }[] = []
  for (const name of new Set(names)) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase(), limit)
    if (distance <= limit) scored.push({ name, distance })
  }
  scored.sort((x, y) => x.distance - y.distance || (x.name < y.name ? -1 : 1))
  return scored.slice(0, count).map((s) => s.name)
}
