/** @file Lowerings of composite ops that ONNX Runtime has kernels for. */
import type { Emitter } from '../emitter.ts'
import { input, type Lower } from '../lowering.ts'

/** x · sigmoid(alpha · x). */
function quick(e: Emitter, x: string, alpha: number): string {
  return e.contrib('QuickGelu', [x], { alpha: { float: alpha } })
}

export const silu: Lower<'silu'> = (call) => quick(call.e, input(call, 0), 1)

// silu' = σ(x) · (1 + x·σ(−x)), and x·σ(−x) is a QuickGelu too.
export const siluGrad: Lower<'siluGrad'> = (call) => {
  const { e } = call
  const [x, dy] = [input(call, 0), input(call, 1)]
  const grown = e.op('Mul', [dy, e.op('Sigmoid', [x])])
  return e.op('Add', [grown, e.op('Mul', [grown, quick(e, x, -1)])])
}

export const gelu: Lower<'gelu'> = (call) => {
  const { e, node } = call
  const x = input(call, 0)
  if (node.params.kind === 'quick') return quick(e, x, 1.702)
  return e.op('Gelu', [x], { approximate: node.params.kind === 'tanh' ? 'tanh' : 'none' })
}

export const softmax: Lower<'softmax'> = (call) => call.e.op('Softmax', [input(call, 0)], { axis: -1 })

const inverseKey = (x: string, eps: number): string => `inverse of ${x}, ${eps}`

/** RMSNorm, and 1/rms of each row, which its derivative uses again. */
export const rmsNorm: Lower<'rmsNorm'> = (call) => {
  const { e, node } = call
  const [x, weight] = [input(call, 0), input(call, 1)]
  const attributes = { axis: -1, epsilon: { float: node.params.eps } }
  const [y = '', inverse = ''] = e.many('SimplifiedLayerNormalization', [x, weight], attributes, 2)
  e.once(inverseKey(x, node.params.eps), () => inverse)
  return y
}

// With i = 1/rms and c = dy·w: dx = i·c − x · (i³ · mean(c·x))
export const rmsNormGrad: Lower<'rmsNormGrad'> = (call) => {
  const { e, node } = call
  const [x, weight, dy] = [input(call, 0), input(call, 1), input(call, 2)]
  const width = Number(node.type.shape.at(-1))
  const inverse = e.once(inverseKey(x, node.params.eps), () => {
    const attributes = { axis: -1, epsilon: { float: node.params.eps } }
    return e.many('SimplifiedLayerNormalization', [x, weight], attributes, 2)[1] ?? ''
  })
  const c = e.op('Mul', [dy, weight])
  const total = e.op('ReduceSum', [e.op('Mul', [c, x]), e.i64(-1)], { keepdims: 1 })
  const cube = e.op('Mul', [e.op('Mul', [inverse, inverse]), inverse])
  const factor = e.op('Mul', [e.op('Mul', [total, e.f32(1 / width)]), cube])
  return e.op('Sub', [e.op('Mul', [c, inverse]), e.op('Mul', [x, factor])])
}

export const layerNorm: Lower<'layerNorm'> = (call) =>
  call.e.op('LayerNormalization', call.inputs, { axis: -1, epsilon: { float: call.node.params.eps } })

export const rotary: Lower<'rotary'> = (call) => call.e.op('RotaryEmbedding', call.inputs, { interleaved: 0 })
