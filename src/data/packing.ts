/**
 * @file Which examples share a row. Must not know what examples hold beyond their length.
 */
import { invariant } from '../support/errors.ts'

/** Examples looked at together: bounds the search, and keeps rows from being sorted by length over the whole data. */
const WINDOW = 4096

/**
 * Packs examples into rows of at most `capacity` tokens: in windows, longest first into the first row with room
 * (first-fit decreasing; within 11/9 of the optimum, Johnson 1973). An example longer than a row has one to itself.
 * @param order indices of examples, packed window by window
 * @returns rows of indices; rows stand in the order of the first example put in
 */
export function packDecreasing(
  order: ArrayLike<number>,
  lengthOf: (index: number) => number,
  capacity: number,
): number[][] {
  const rows: number[][] = []
  for (let start = 0; start < order.length; start += WINDOW) {
    const window = Array.from({ length: Math.min(WINDOW, order.length - start) }, (_, i) => order[start + i] ?? 0)
    // Equal lengths keep the order they came in (the sort is stable), so the result depends on `order` alone.
    window.sort((a, b) => lengthOf(b) - lengthOf(a))
    rows.push(...firstFit(window, lengthOf, capacity))
  }
  return rows
}

/** Packs in order: a row is closed when the next example does not fit. */
export function packInOrder(
  order: ArrayLike<number>,
  lengthOf: (index: number) => number,
  capacity: number,
): number[][] {
  const rows: number[][] = []
  let room = 0
  for (let i = 0; i < order.length; i++) {
    const index = order[i] ?? 0
    const length = lengthOf(index)
    const last = rows.at(-1)
    if (last !== undefined && length <= room) last.push(index)
    else {
      rows.push([index])
      room = capacity
    }
    room -= length
  }
  return rows
}

function firstFit(indices: readonly number[], lengthOf: (index: number) => number, capacity: number): number[][] {
  const rows: number[][] = []
  const rooms = new RoomTree(indices.length)
  for (const index of indices) {
    const length = lengthOf(index)
    const found = rooms.firstWith(length)
    const row = found ?? rows.length
    rooms.set(row, (found === undefined ? capacity : rooms.get(row)) - length)
    const held = rows[row]
    if (held === undefined) rows.push([index])
    else held.push(index)
  }
  return rows
}

/** Room left in each row under a tree of maxima: the first row with enough of it is found in logarithmic time. */
class RoomTree {
  readonly #leaves: number
  readonly #most: Int32Array

  constructor(rows: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(Math.max(2, rows)))
    this.#most = new Int32Array(2 * this.#leaves).fill(-1)
  }

  get(row: number): number {
    return this.#most[this.#leaves + row] ?? -1
  }

  set(row: number, room: number): void {
    invariant(row < this.#leaves, 'no more rows than examples')
    let node = this.#leaves + row
    this.#most[node] = Math.max(room, 0)
    for (node >>= 1; node >= 1; node >>= 1)
      this.#most[node] = Math.max(this.#most[2 * node] ?? -1, this.#most[2 * node + 1] ?? -1)
  }

  firstWith(room: number): number | undefined {
    if ((this.#most[1] ?? -1) < room) return undefined
    let node = 1
    while (node < this.#leaves) node = 2 * node + ((this.#most[2 * node] ?? -1) >= room ? 0 : 1)
    return node - this.#leaves
  }
}
