/**
 * @file Counter-based random numbers: a value is a pure function of (seed, purpose, counter), so order of use,
 * resuming and batching never change what is drawn. The u32 mixing is repeated inside engines for dropout masks
 * (see engines/reference/indexing.ts), so its constants are part of the contract.
 */

/** 2^32 over the golden ratio: what places along an axis are told apart by, as an i32. */
export const GOLDEN = 0x9e3779b9 | 0

/** Avalanche of one u32 (the finaliser of "lowbias32", Ellis 2018). */
export function mix32(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}

/** A hash is dropped at `rate` where its upper 31 bits are below this; the largest i32 for rates next to 1. */
export function dropLimit(rate: number): number {
  return Math.min(Math.ceil(rate * 2 ** 31), 0x7fffffff)
}

/** Folds integers into one u32 key; each word is mixed in before the next. */
export function hashKey(...words: number[]): number {
  let h = 0x9e3779b9
  for (const word of words) h = mix32((h ^ mix32(word >>> 0)) + 0x9e3779b9)
  return h >>> 0
}

/** FNV-1a over UTF-16 units: turns a stream's name ("init/model.layers.0.q_proj.lora_A") into a key word. */
export function hashName(name: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193)
  return mix32(h >>> 0)
}

/** A stream of numbers for one purpose. `state` (a counter) is all there is to save. */
export class RandomStream {
  readonly #key: number
  counter: number

  constructor(seed: number, purpose: string, counter = 0) {
    this.#key = hashKey(seed, Math.floor(seed / 2 ** 32), hashName(purpose))
    this.counter = counter
  }

  /** Next u32. The counter's high half is mixed too, so streams are 2^53 long. */
  u32(): number {
    const n = this.counter++
    return hashKey(this.#key, n, Math.floor(n / 2 ** 32))
  }

  /** Uniform in [0, 1) with 53 bits. */
  uniform(): number {
    return ((this.u32() >>> 5) * 67108864 + (this.u32() >>> 6)) / 9007199254740992
  }

  /** Uniform integer in [0, n). */
  below(n: number): number {
    return Math.floor(this.uniform() * n)
  }

  /** Standard normal (Box–Muller, one of the pair, so that the counter alone is the state). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform())
  }

  /** Fisher–Yates permutation of 0…n−1. */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i)
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const held = order[i] ?? 0
      order[i] = order[j] ?? 0
      order[j] = held
    }
    return order
  }
}
