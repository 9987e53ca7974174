/**
 * @file Maps inside a run file as plain objects that remember the line of each word, so that a mistake in them is named by
 * its line too. Must not know what the words mean.
 */
import { isMap, isScalar, isSeq } from 'yaml'

const places = new WeakMap<object, ReadonlyMap<string, string>>()

/** `study.yaml:7` of each word of a map or list that was read from a file, its own under ''; undefined of one that was not. */
export function placesIn(map: object): ReadonlyMap<string, string> | undefined {
  return places.get(map)
}

/** @param plain of a node without maps in it */
export function plainWithPlaces(
  node: unknown,
  plain: (node: unknown) => unknown,
  place: (offset: number | undefined) => string,
): unknown {
  if (!isSeq(node) && !isMap(node)) return plain(node)
  const lines = new Map([['', place(node.range?.[0])]])
  if (isSeq(node)) {
    const list = node.items.map((item) => plainWithPlaces(item, plain, place))
    places.set(list, lines)
    return list
  }
  const map: Record<string, unknown> = {}
  for (const { key, value } of node.items) {
    const word = String(isScalar(key) ? key.value : key)
    lines.set(word, place(isScalar(key) ? key.range?.[0] : undefined))
    map[word] = plainWithPlaces(value, plain, place)
  }
  places.set(map, lines)
  return map
}
