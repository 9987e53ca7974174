/**
 * @file The loop that masks spend their time in, four numbers at a time. Must not know where masks go.
 *
 * For each row's hash h and j = 1, 2, …: a number is kept where mix32(h + j · 0x9e3779b9) >>> 1 is not below a limit.
 */
import { GOLDEN } from '../../support/random.ts'
import { instantiate, wasm } from '../../support/wasm.ts'

const { i32, i32x4, v128, get, set, tee } = wasm

const [OUT, HASHES, ROWS, WIDTH, LIMIT, KEPT] = [0, 1, 2, 3, 4, 5]
const [END, PLACE, X, LIMITS, FACTORS] = [6, 7, 8, 9, 10]

/** x ^= x >>> bits */
const fold = (bits: number): number[][] => [get(X), get(X), i32.const(bits), i32x4.shrU, v128.xor, set(X)]
const times = (factor: number): number[][] => [get(X), i32.const(factor), i32x4.splat, i32x4.mul, set(X)]

/** Rows are written from the first on, so what a row writes past its width is written over by the next. */
const body = [
  ...[get(LIMIT), i32x4.splat, set(LIMITS), get(KEPT), i32x4.splat, set(FACTORS)],
  wasm.loop,
  ...[get(HASHES), i32.load, i32x4.splat, v128.const([1, 2, 3, 4].map((j) => Math.imul(j, GOLDEN)))],
  ...[i32x4.add, set(PLACE)],
  ...[get(OUT), get(WIDTH), i32.const(2), i32.shl, i32.add, set(END)],
  wasm.loop,
  ...[get(PLACE), set(X)],
  ...[...fold(16), ...times(0x7feb352d), ...fold(15), ...times(0x846ca68b), ...fold(16)],
  ...[get(OUT), get(FACTORS), get(X), i32.const(1), i32x4.shrU, get(LIMITS), i32x4.ltS, v128.andnot, v128.store],
  ...[get(PLACE), i32.const(Math.imul(4, GOLDEN)), i32x4.splat, i32x4.add, set(PLACE)],
  ...[get(OUT), i32.const(16), i32.add, tee(OUT), get(END), i32.ltU, wasm.brIf(0)],
  wasm.end,
  ...[get(END), set(OUT), get(HASHES), i32.const(4), i32.add, set(HASHES)],
  ...[get(ROWS), i32.const(1), i32.sub, tee(ROWS), wasm.brIf(0)],
  wasm.end,
]

const PAGE = 1 << 16
/** Numbers written between two copies: they stay in the cache. */
const CHUNK = 1 << 16
const HASHES_AT = 4 * CHUNK + 16

let kernel: ReturnType<typeof open> | undefined

function open() {
  const pages = Math.ceil((HASHES_AT + 4 * CHUNK) / PAGE)
  const { run, memory } = instantiate({ parameters: 6, locals: ['i32', 'v128', 'v128', 'v128', 'v128'], body }, pages)
  const written = new Float32Array(memory.buffer, 0, CHUNK)
  return { run, written, read: new Int32Array(memory.buffer, HASHES_AT, CHUNK) }
}

/**
 * Fills `out`, rows of `width`, with 0 or `kept`.
 * @param hashes of the rows
 * @param limit hashes whose upper 31 bits are below it give 0
 */
export function fillRows(out: Float32Array, hashes: Int32Array, width: number, limit: number, kept: number): void {
  // Compiled when the first mask is drawn: most sessions draw none.
  kernel ??= open()
  const { run, written, read } = kernel
  const bits = new Int32Array(Float32Array.of(kept).buffer)[0] ?? 0
  const draw = (own: Int32Array, length: number, at: number): void => {
    read.set(own)
    run(0, HASHES_AT, own.length, length, limit, bits)
    out.set(written.subarray(0, own.length * length), at)
  }
  if (width > CHUNK) {
    for (const [row, hash] of hashes.entries())
      for (let from = 0; from < width; from += CHUNK)
        draw(Int32Array.of(hash + Math.imul(from, GOLDEN)), Math.min(CHUNK, width - from), row * width + from)
    return
  }
  const rows = Math.floor(CHUNK / Math.max(1, width))
  for (let row = 0; row < hashes.length && width > 0; row += rows)
    draw(hashes.subarray(row, row + rows), width, row * width)
}
