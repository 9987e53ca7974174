/**
 * @file Collects ONNX nodes, constants and run-time shapes while a graph is lowered. Must not know single ops.
 *
 * Shapes with symbols are computed in JavaScript before each run and fed as small i64 inputs (`extents`), so that the
 * model has no chains of Shape and Gather.
 */

import { type Dim, symbolsOf } from '../../tensor/dim.ts'
import { BYTES, type DType } from '../../tensor/dtype.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import type { MaskDraw } from './masks.ts'
import type { Attribute, OnnxInitializer, OnnxNode, OnnxValue } from './proto.ts'

type Attributes = Readonly<Record<string, Attribute>>

/** A computation of run-time integers from the values of symbols. */
export type Extents = (value: (dim: Dim) => number) => readonly number[]

/** A mask to be drawn, its extents symbols still. */
export interface MaskInput extends Pick<MaskDraw, 'keys' | 'site' | 'rate'> {
  readonly before: readonly Dim[]
  readonly trailing: readonly Dim[]
  readonly shape: readonly Dim[]
}

export class Emitter {
  /** Memory before speed. */
  readonly lean: boolean
  readonly nodes: OnnxNode[] = []
  readonly initializers: OnnxInitializer[] = []
  readonly values: OnnxValue[] = []
  /** Inputs of the model that are computed from the symbols' values before each run. */
  readonly extents = new Map<string, { readonly length: number; readonly compute: Extents }>()
  /** Inputs of the model that are drawn before each run (see masks.ts). */
  readonly masks = new Map<string, MaskInput>()
  /** The node that is being lowered, for names in profiles (see profile.ts). */
  place = 'forward input '
  readonly #known = new Map<string, string>()
  #count = 0

  constructor({ lean }: { readonly lean: boolean }) {
    this.lean = lean
  }

  /** A standard op with one output. */
  op(type: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.#emit('', type, inputs, attributes, 1)[0] ?? ''
  }

  /** An op of ONNX Runtime's own domain with one output. */
  contrib(type: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.#emit('com.microsoft', type, inputs, attributes, 1)[0] ?? ''
  }

  /** A standard op with several outputs. */
  many(type: string, inputs: readonly string[], attributes: Attributes, outputs: number): string[] {
    return this.#emit('', type, inputs, attributes, outputs)
  }

  /** A dropout mask that is drawn before each run. Equal ones are one input. */
  mask(mask: MaskInput): string {
    const { keys, site, rate, before, trailing } = mask
    return this.once(`mask ${keys} ${site} ${rate} [${before}] [${trailing}]`, () => {
      const name = `mask${this.masks.size}`
      this.masks.set(name, mask)
      return name
    })
  }

  #emit(domain: OnnxNode['domain'], type: string, inputs: readonly string[], attributes: Attributes, outputs: number) {
    const names = Array.from({ length: outputs }, () => `v${this.#count++}`)
    const name = `${this.place} ${this.nodes.length}`
    this.nodes.push({ type, domain, name, inputs, outputs: names, attributes })
    return names
  }

  /** The name `make` gave when it was first called with this key: for constants and small shared values. */
  once(key: string, make: () => string): string {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const name = make()
    this.#known.set(key, name)
    return name
  }

  known(key: string): string | undefined {
    return this.#known.get(key)
  }

  /** A constant; equal ones are one. */
  constant(dtype: 'f32' | 'i64' | 'u32' | 'i32', shape: readonly number[], values: readonly number[]): string {
    return this.once(`constant ${dtype} [${shape}] ${values.map((v) => (Object.is(v, -0) ? '-0' : v))}`, () => {
      const name = `c${this.initializers.length}`
      this.initializers.push({ name, dtype, shape, data: bytesOf(dtype, sizeOf(shape), values) })
      return name
    })
  }

  f32(value: number): string {
    return this.constant('f32', [], [value])
  }

  i64(...values: number[]): string {
    return this.constant('i64', [values.length], values)
  }

  /** Integers computed before each run. Equal keys are one input. */
  runtime(key: string, length: number, compute: Extents): string {
    return this.once(`extents ${key}`, () => {
      const name = `extents${this.extents.size}`
      this.extents.set(name, { length, compute })
      return name
    })
  }

  /** A shape as an i64 tensor: constant where it is known, fed where it has symbols. */
  shape(shape: readonly Dim[]): string {
    if (isNumeric(shape)) return this.i64(...shape)
    return this.runtime(`shape [${shape}]`, shape.length, (value) => shape.map(value))
  }

  reshape(x: string, shape: readonly Dim[]): string {
    const symbolic = shape.filter((d) => typeof d === 'string')
    // One unknown extent is told by the others; 0 would mean "as in the input" unless allowzero says otherwise.
    const free = symbolic.length === 1 && !shape.includes(0)
    const target = free ? this.i64(...shape.map((d) => (typeof d === 'string' ? -1 : d))) : this.shape(shape)
    return this.op('Reshape', [x, target], free ? {} : { allowzero: 1 })
  }
}

function isNumeric(shape: readonly Dim[]): shape is readonly number[] {
  return shape.every((d) => typeof d === 'number' || symbolsOf(d).length === 0)
}

function bytesOf(dtype: DType, size: number, values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(size * BYTES[dtype])
  const view = new DataView(bytes.buffer)
  values.forEach((value, i) => {
    if (dtype === 'f32') view.setFloat32(4 * i, value, true)
    else if (dtype === 'i64') view.setBigInt64(8 * i, BigInt(value), true)
    else if (dtype === 'i32') view.setInt32(4 * i, value, true)
    else view.setUint32(4 * i, value, true)
  })
  return bytes
}
