/** @file Long lists of tensor names made readable: names that differ only in their layer become one. Knows only names. */

/** `a.0.b`, `a.1.b`, `a.3.b` become `a.{0-1,3}.b`. Order of first appearance; names without a number stay. */
export function collapseLayers(names: readonly string[]): string[] {
  const groups = new Map<string, number[]>()
  for (const name of names) {
    const match = /^(.*?\.)(\d+)(\..*)$/s.exec(name)
    const group = match ? `${match[1]}\0${match[3]}` : name
    const layers = groups.get(group) ?? []
    if (match) layers.push(Number(match[2]))
    groups.set(group, layers)
  }
  return [...groups].map(([group, layers]) => {
    const [only] = layers
    return group.replace('\0', layers.length === 1 ? String(only) : `{${ranges(layers)}}`)
  })
}

/** `0,1,2,5` reads `0-2,5`. */
function ranges(numbers: readonly number[]): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b)
  const parts: [from: number, to: number][] = []
  for (const n of sorted) {
    const last = parts.at(-1)
    if (last && n === last[1] + 1) last[1] = n
    else parts.push([n, n])
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',')
}
