/**
 * @file Writes WebAssembly modules of one function over a memory of its own: for loops over numbers, since JavaScript has
 * no vectors. Instructions have their names and codes from the specification (WebAssembly 2.0, section 5.4). Must not
 * know what is computed.
 */

const TYPES = { i32: 0x7f, v128: 0x7b } as const
type ValueType = keyof typeof TYPES

/** Instructions that stand alone. */
export const wasm = {
  loop: [0x03, 0x40],
  end: [0x0b],
  i32: {
    add: [0x6a],
    sub: [0x6b],
    shl: [0x74],
    ltU: [0x49],
    load: [0x28, 2, 0],
    const: (x: number) => [0x41, ...signed(x)],
  },
  i32x4: { splat: simd(0x11), ltS: simd(0x39), shrU: simd(0xad), add: simd(0xae), mul: simd(0xb5) },
  v128: {
    andnot: simd(0x4f),
    xor: simd(0x51),
    /** At any address. */
    store: [...simd(0x0b), 0, 0],
    const: (lanes: readonly number[]) => [...simd(0x0c), ...new Uint8Array(Int32Array.from(lanes).buffer)],
  },
  /** To the `depth`-th loop outwards, if the value on the stack is not 0. */
  brIf: (depth: number): number[] => [0x0d, ...unsigned(depth)],
  get: (local: number): number[] => [0x20, ...unsigned(local)],
  set: (local: number): number[] => [0x21, ...unsigned(local)],
  tee: (local: number): number[] => [0x22, ...unsigned(local)],
} as const

/** What Node and browsers have; TypeScript knows it of browsers only. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

function simd(code: number): number[] {
  return [0xfd, ...unsigned(code)]
}

export interface WasmFunction {
  /** i32 parameters: locals 0, 1, … */
  readonly parameters: number
  /** The locals after them. */
  readonly locals: readonly ValueType[]
  readonly body: readonly (readonly number[])[]
}

/** Compiles and instantiates `source` with `pages` of 64 KiB. */
export function instantiate({ parameters, locals, body }: WasmFunction, pages: number) {
  const code = [...vector(locals.map((type) => [1, TYPES[type]])), ...body.flat(), ...wasm.end]
  const bytes = Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [[0x60, ...vector(Array.from({ length: parameters }, () => [TYPES.i32])), 0]]),
    ...section(3, [[0]]),
    ...section(5, [[0, ...unsigned(pages)]]),
    ...section(7, [
      [...vector([...'run'].map((c) => [c.charCodeAt(0)])), 0, 0],
      [...vector([...'memory'].map((c) => [c.charCodeAt(0)])), 2, 0],
    ]),
    ...section(10, [[...unsigned(code.length), ...code]]),
  ])
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  return exports as { run(...values: number[]): void; readonly memory: { readonly buffer: ArrayBuffer } }
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = vector(items)
  return [id, ...unsigned(content.length), ...content]
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()]
}

/** LEB128. */
function unsigned(x: number): number[] {
  return x < 0x80 ? [x] : [(x & 0x7f) | 0x80, ...unsigned(x >>> 7)]
}

function signed(x: number): number[] {
  const [low, rest] = [x & 0x7f, x >> 7]
  return (rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40) ? [low] : [low | 0x80, ...signed(rest)]
}
