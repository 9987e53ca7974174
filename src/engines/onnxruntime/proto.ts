/**
 * @file Writes the ONNX protobuf messages that lowrank emits, and nothing else of protobuf.
 * Source: onnx.proto3 of ONNX 1.20 (field numbers in the comments). Must not know graphs of lowrank.
 */
import type { DType } from '../../tensor/dtype.ts'

/** TensorProto.DataType. */
export const ELEMENT_TYPE: { readonly [K in DType]: number } = {
  f32: 1,
  u8: 2,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  u32: 12,
  bf16: 16,
}
const IR_VERSION = 10
export const OPSET = 23

/** An attribute's value; integers and floats look alike in JavaScript, so floats are marked. */
export type Attribute = number | string | readonly number[] | { readonly float: number }

export interface OnnxNode {
  readonly type: string
  readonly domain: '' | 'com.microsoft'
  readonly name: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** Bytes of a file that ONNX Runtime maps by itself; `location` is relative to the root folder. */
export interface ExternalData {
  readonly location: string
  readonly offset: number
  readonly length: number
}

export interface OnnxInitializer {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly data: Uint8Array | ExternalData
}

export interface OnnxValue {
  readonly name: string
  readonly dtype: DType
  /** Numbers, or names of symbolic dimensions. */
  readonly shape: readonly (number | string)[]
}

export interface OnnxModel {
  readonly nodes: readonly OnnxNode[]
  readonly initializers: readonly OnnxInitializer[]
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
  /** Types of values in between: what lets the memory planner share buffers. */
  readonly values: readonly OnnxValue[]
}

const utf8 = new TextEncoder()

/** A message under construction: field after field. */
class Message {
  readonly #parts: Uint8Array[] = []
  #size = 0

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#size += bytes.length
  }

  #varint(value: number | bigint): void {
    let rest = BigInt.asUintN(64, BigInt(value))
    const bytes: number[] = []
    for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
    bytes.push(Number(rest))
    this.#push(Uint8Array.from(bytes))
  }

  int(field: number, value: number): this {
    this.#varint(field << 3)
    this.#varint(value)
    return this
  }

  float(field: number, value: number): this {
    this.#varint((field << 3) | 5)
    this.#push(new Uint8Array(Float32Array.of(value).buffer))
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint((field << 3) | 2)
    this.#varint(value.length)
    this.#push(value)
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, utf8.encode(value))
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish())
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.#size)
    let at = 0
    for (const part of this.#parts) {
      out.set(part, at)
      at += part.length
    }
    return out
  }
}

// AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20 (FLOAT 1, INT 2, STRING 3, INTS 7)
function attribute(name: string, value: Attribute): Message {
  const message = new Message().text(1, name)
  if (typeof value === 'number') return message.int(3, value).int(20, 2)
  if (typeof value === 'string') return message.text(4, value).int(20, 3)
  if ('float' in value) return message.float(2, value.float).int(20, 1)
  for (const item of value) message.int(8, item)
  return message.int(20, 7)
}

// NodeProto: input 1, output 2, name 3, op_type 4, attribute 5, domain 7
function node({ type, domain, name, inputs, outputs, attributes }: OnnxNode): Message {
  const message = new Message()
  for (const input of inputs) message.text(1, input)
  for (const output of outputs) message.text(2, output)
  message.text(3, name).text(4, type)
  for (const [key, value] of Object.entries(attributes)) message.message(5, attribute(key, value))
  return domain === '' ? message : message.text(7, domain)
}

// TensorProto: dims 1, data_type 2, name 8, raw_data 9, external_data 13 (key 1, value 2), data_location 14 (EXTERNAL 1)
function initializer({ name, dtype, shape, data }: OnnxInitializer): Message {
  const message = new Message()
  for (const extent of shape) message.int(1, extent)
  message.int(2, ELEMENT_TYPE[dtype]).text(8, name)
  if (data instanceof Uint8Array) return message.bytes(9, data)
  for (const [key, value] of Object.entries(data)) {
    message.message(13, new Message().text(1, key).text(2, String(value)))
  }
  return message.int(14, 1)
}

// ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; TypeProto.Tensor: elem_type 1, shape 2;
// TensorShapeProto: dim 1; Dimension: dim_value 1, dim_param 2
function value({ name, dtype, shape }: OnnxValue): Message {
  const dims = new Message()
  for (const extent of shape) {
    dims.message(1, typeof extent === 'number' ? new Message().int(1, extent) : new Message().text(2, extent))
  }
  const tensor = new Message().int(1, ELEMENT_TYPE[dtype]).message(2, dims)
  return new Message().text(1, name).message(2, new Message().message(1, tensor))
}

/** Serialized ModelProto: ir_version 1, producer_name 2, graph 7, opset_import 8. */
export function encodeModel(model: OnnxModel): Uint8Array {
  // GraphProto: node 1, name 2, initializer 5, input 11, output 12, value_info 13
  const graph = new Message()
  for (const n of model.nodes) graph.message(1, node(n))
  graph.text(2, 'lowrank')
  for (const t of model.initializers) graph.message(5, initializer(t))
  for (const v of model.inputs) graph.message(11, value(v))
  for (const v of model.outputs) graph.message(12, value(v))
  for (const v of model.values) graph.message(13, value(v))
  const opset = (domain: string, version: number): Message => new Message().text(1, domain).int(2, version)
  return new Message()
    .int(1, IR_VERSION)
    .text(2, 'lowrank')
    .message(7, graph)
    .message(8, opset('', OPSET))
    .message(8, opset('com.microsoft', 1))
    .finish()
}
