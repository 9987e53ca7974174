/**
 * @file What a tokenizer puts around a text or a pair of texts ([CLS] … [SEP] … [SEP]), with the token type of each part,
 * and how texts are cut to fit. Must not know how text becomes ids.
 */

/** What stands around one text or two. */
export interface Frame {
  readonly before: readonly number[]
  /** Between the two; empty where there is one. */
  readonly between: readonly number[]
  readonly after: readonly number[]
  /** Token type of each part. */
  readonly types: {
    readonly before: readonly number[]
    readonly first: number
    readonly between: readonly number[]
    readonly second: number
    readonly after: readonly number[]
  }
}

export interface Framed {
  readonly ids: number[]
  readonly types: number[]
  /** Tokens were cut off. */
  readonly cut: boolean
  /** Where the first text begins. */
  readonly start: number
}

/** The frame in a text that was encoded whole, from the ids of its parts alone. */
export function frameOf(
  whole: { readonly ids: readonly number[]; readonly types: readonly number[] },
  first: readonly number[],
  second?: readonly number[],
): Frame {
  const start = find(whole.ids, first, 0)
  const end = start + first.length
  const next = second ? find(whole.ids, second, end) : end
  const last = next + (second?.length ?? 0)
  const { types } = whole
  return {
    before: whole.ids.slice(0, start),
    between: whole.ids.slice(end, next),
    after: whole.ids.slice(last),
    types: {
      before: types.slice(0, start),
      first: types[start] ?? 0,
      between: types.slice(end, next),
      second: types[next] ?? 0,
      after: types.slice(last),
    },
  }
}

/** Where a part stands; at `from` where it cannot be told. */
function find(whole: readonly number[], part: readonly number[], from: number): number {
  for (let at = from; at + part.length <= whole.length; at++) if (part.every((id, i) => whole[at + i] === id)) return at
  return from
}

/** Puts the frame around texts, cut from the right to `limit` tokens in all. */
export function framed(
  { before, between, after, types }: Frame,
  first: readonly number[],
  second: readonly number[] | undefined,
  limit: number,
): Framed {
  const room = Math.max(0, limit - before.length - between.length - after.length)
  const [n, m] = lengthsIn(room, first.length, second?.length ?? 0)
  const [a, b] = [first.slice(0, n), (second ?? []).slice(0, m)]
  return {
    ids: [...before, ...a, ...between, ...b, ...after],
    types: [
      ...types.before,
      ...a.map(() => types.first),
      ...types.between,
      ...b.map(() => types.second),
      ...types.after,
    ],
    cut: n < first.length || m < (second?.length ?? 0),
    start: before.length,
  }
}

/** Lengths that fit, the longer text cut first (`LongestFirst` of Hugging Face's tokenizers). */
export function lengthsIn(room: number, first: number, second: number): [number, number] {
  if (first + second <= room) return [first, second]
  if (second === 0) return [room, 0]
  const shorter = Math.min(first, second)
  let [low, high] = [shorter, Math.max(shorter, room - shorter)]
  if (shorter > room) high = shorter
  if (low + high > room) {
    low = Math.floor(room / 2)
    high = low + (room % 2)
  }
  return first <= second ? [low, high] : [high, low]
}
