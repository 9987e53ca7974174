/**
 * @file Dropout masks drawn before a run and fed to it. ONNX Runtime has no kernel for the hash: spelt in its ops a number
 * costs thirty kernels' passes over memory, ten times what one thread takes here. Must not know sessions.
 */
import { dropLimit, GOLDEN, mix32 } from '../../support/random.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import { fillRows } from './mask-kernel.ts'

/** One mask's op (see ops/indexing.ts), extents known. */
export interface MaskDraw {
  /** The model's input that the mask is. */
  readonly name: string
  /** The fed input with its keys. */
  readonly keys: string
  readonly site: number
  readonly rate: number
  readonly before: readonly number[]
  readonly trailing: readonly number[]
}

/** Fills `out`, which has the mask's size, for keys `[…lead, n]`. */
export function drawMask(out: Float32Array, { site, rate, before, trailing }: MaskDraw, keys: Uint32Array, n: number) {
  let hashes = new Int32Array(keys.length)
  for (let i = 0; i < keys.length; i++) hashes[i] = mix32((keys[i] ?? 0) ^ site)
  for (const extent of before) hashes = spread(hashes, extent, n)
  for (const extent of trailing.slice(0, -1)) hashes = spread(hashes, extent, 1)
  const [limit, kept] = [dropLimit(rate), 1 / (1 - rate)]
  const width = trailing.at(-1)
  if (width !== undefined) fillRows(out, hashes, width, limit, kept)
  else for (const [i, hash] of hashes.entries()) out[i] = hash >>> 1 < limit ? 0 : kept
}

/** Extents of the mask of keys `shape`. */
export function maskShape({ before, trailing }: MaskDraw, shape: readonly number[]): number[] {
  return [...shape.slice(0, -1), ...before, ...shape.slice(-1), ...trailing]
}

/** Hashes `[…, inner]` along one more axis: `[…, extent, inner]`. */
function spread(hashes: Int32Array, extent: number, inner: number): Int32Array<ArrayBuffer> {
  const out = new Int32Array(hashes.length * extent)
  for (let row = 0, at = 0; row < hashes.length; row += inner)
    for (let j = 1; j <= extent; j++)
      for (let i = 0; i < inner; i++) out[at++] = mix32((hashes[row + i] ?? 0) + Math.imul(j, GOLDEN))
  return out
}

/** Memory for masks by name, which serves again in the next run. */
export class Masks {
  readonly #memory = new Map<string, Float32Array>()
  readonly #keepsTimes: boolean
  /** That drawing took, of each run; none unless times are kept. */
  readonly seconds: number[] = []

  constructor({ keepsTimes = false }: { readonly keepsTimes?: boolean } = {}) {
    this.#keepsTimes = keepsTimes
  }

  /** That are held. */
  get bytes(): number {
    return [...this.#memory.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  draw(draws: readonly MaskDraw[], keysOf: (name: string) => { data: Uint32Array; shape: readonly number[] }) {
    const start = performance.now()
    const drawn = draws.map((draw) => {
      const { data, shape } = keysOf(draw.keys)
      const own = maskShape(draw, shape)
      const out = this.#room(draw.name, sizeOf(own))
      drawMask(out, draw, data, shape.at(-1) ?? 1)
      return { name: draw.name, data: out, shape: own }
    })
    if (this.#keepsTimes) this.seconds.push((performance.now() - start) / 1000)
    return drawn
  }

  /** Memory as large as the largest run's so far. */
  #room(name: string, size: number): Float32Array {
    const known = this.#memory.get(name)
    if (known && known.length >= size) return known.subarray(0, size)
    // Not both at once.
    this.#memory.delete(name)
    const fresh = new Float32Array(size)
    this.#memory.set(name, fresh)
    return fresh
  }
}
