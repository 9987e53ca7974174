/**
 * @file Frozen weights in the model: mapped by ONNX Runtime from their safetensors files, never read by JavaScript.
 * Must not know graphs.
 */
import { parse, relative } from 'node:path'
import type { WeightRef } from '../../engine/engine.ts'
import { isWeightRef } from '../../engine/engine.ts'
import { halvesToF32 } from '../../tensor/half.ts'
import { type HostTensor, tensor } from '../../tensor/host-tensor.ts'
import type { Emitter } from './emitter.ts'

/** Weights in memory above this stay outside the model (which protobuf limits to 2 GB) and are fed each run. */
const INLINE_BYTES = 1 << 16

/** The weight's ONNX value as f32, and the tensor to feed where it does not stand in the model. */
export function bindWeight(
  e: Emitter,
  name: string,
  source: WeightRef | HostTensor,
): { value: string; input?: HostTensor } {
  const onnx = `weight ${name}`
  if (isWeightRef(source)) {
    const { dtype, shape, offset, bytes, file } = source
    const stored = dtype === 'f32' ? onnx : `${onnx} as ${dtype}`
    const location = relative(parse(file).root, file)
    e.initializers.push({ name: stored, dtype, shape, data: { location, offset, length: bytes } })
    return { value: dtype === 'f32' ? onnx : e.op('Cast', [stored], { to: 1 }) }
  }
  const values =
    source.dtype === 'f16' || source.dtype === 'bf16'
      ? tensor('f32', source.shape, halvesToF32(source.dtype, source.data))
      : source
  const { buffer, byteOffset, byteLength } = values.data
  if (byteLength > INLINE_BYTES) return { value: onnx, input: values }
  e.initializers.push({
    name: onnx,
    dtype: 'f32',
    shape: source.shape,
    data: new Uint8Array(buffer, byteOffset, byteLength),
  })
  return { value: onnx }
}
