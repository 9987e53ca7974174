/** @file Lowerings of composite ops that ONNX Runtime has kernels for. */
import type { Dim } from '../../../tensor/dim.ts'
import type { Emitter } from '../emitter.ts'
import { input, type Lower } from '../lowering.ts'

/** x · sigmoid(alpha · x). */
function quick(e: Emitter, x: string, alpha: number): string {
  return e.contrib('QuickGelu', [x], { alpha: { float: alpha } })
}

export const silu: Lower<'silu'> = (call) => quick(call.e, input(call, 0), 1)

/** Of `quick`: dy · σ(αx) · (1 + αx·σ(−αx)), and x·σ(−αx) is a QuickGelu too. */
function quickGrad(e: Emitter, x: string, dy: string, alpha: number): string {
  const scaled = (v: string): string => (alpha === 1 ? v : e.op('Mul', [v, e.f32(alpha)]))
  const grown = e.op('Mul', [dy, e.op('Sigmoid', [scaled(x)])])
  return e.op('Add', [grown, e.op('Mul', [scaled(grown), quick(e, x, -alpha)])])
}

export const siluGrad: Lower<'siluGrad'> = (call) => quickGrad(call.e, input(call, 0), input(call, 1), 1)

/** What `quick` gelu has for alpha. */
const QUICK = 1.702

export const gelu: Lower<'gelu'> = (call) => {
  const { e, node } = call
  const x = input(call, 0)
  if (node.params.kind === 'quick') return quick(e, x, QUICK)
  return e.op('Gelu', [x], { approximate: node.params.kind === 'tanh' ? 'tanh' : 'none' })
}

/** Half of 1 + x where x is from −1 to 1: in one pass. */
const halfPlus = (e: Emitter, x: string): string =>
  e.op('HardSigmoid', [x], { alpha: { float: 0.5 }, beta: { float: 0.5 } })

/** dy · (gate(x) + x · gate'(x)), each kind in as few passes over memory as its terms can share. */
export const geluGrad: Lower<'geluGrad'> = (call) => {
  const { e, node } = call
  const [x, dy] = [input(call, 0), input(call, 1)]
  const scaled = (v: string, factor: number): string => e.op('Mul', [v, e.f32(factor)])
  switch (node.params.kind) {
    case 'quick':
      return quickGrad(e, x, dy, QUICK)
    case 'erf': {
      // The density of x is exp(−u² − ln √(2π)) with u = x/√2, which erf needs too.
      const u = scaled(x, Math.SQRT1_2)
      const exponent = e.op('Sub', [e.f32(-0.5 * Math.log(2 * Math.PI)), e.op('Mul', [u, u])])
      const slope = e.op('Mul', [x, e.op('Exp', [exponent])])
      return e.op('Mul', [dy, e.op('Add', [halfPlus(e, e.op('Erf', [u])), slope])])
    }
    case 'tanh': {
      // t = tanh u with u = x·(k + k·c·x²); half of 1 + t has the derivative (1 − t²)/2 · (k + 3·k·c·x²).
      const k = Math.sqrt(2 / Math.PI)
      const square = e.op('Mul', [x, x])
      const cubic = (factor: number): string =>
        e.op('Mul', [x, e.op('Add', [scaled(square, factor * k * 0.044715), e.f32(k)])])
      const t = e.op('Tanh', [cubic(1)])
      const bend = scaled(e.op('Sub', [e.f32(1), e.op('Mul', [t, t])]), 0.5)
      return e.op('Mul', [dy, e.op('Add', [halfPlus(e, t), e.op('Mul', [bend, cubic(3)])])])
    }
  }
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

export const layerNorm: Lower<'layerNorm'> = (call) => normalised(call.e, call.inputs, call.node.params.eps)

const momentsKey = (x: string, eps: number): string => `moments of ${x}, ${eps}`

/** LayerNorm of x, whose moments its derivative uses again. */
function normalised(e: Emitter, inputs: readonly string[], eps: number): string {
  const [y = '', mean = '', inverse = ''] = e.many(
    'LayerNormalization',
    inputs,
    { axis: -1, epsilon: { float: eps } },
    3,
  )
  const key = momentsKey(inputs[0] ?? '', eps)
  e.once(`${key} mean`, () => mean)
  e.once(`${key} inverse`, () => inverse)
  return y
}

/** `(x − mean) / deviation` and 1/deviation, from the moments that a LayerNorm of x has found, where there is one. */
function standardised(e: Emitter, x: string, width: Dim, eps: number): { u: string; inverse: string } {
  const key = momentsKey(x, eps)
  if (e.known(`${key} mean`) === undefined) normalised(e, [x, e.op('Expand', [e.f32(1), e.shape([width])])], eps)
  const [mean = '', inverse = ''] = ['mean', 'inverse'].map((part) => e.known(`${key} ${part}`))
  return { u: e.once(`${key} u`, () => e.op('Mul', [e.op('Sub', [x, mean]), inverse])), inverse }
}

export const standardise: Lower<'standardise'> = (call) =>
  standardised(call.e, input(call, 0), call.node.type.shape.at(-1) ?? 1, call.node.params.eps).u

// With u the standardised x and c = dy·w: dx = (c − mean(c) − u·mean(c·u)) / deviation
export const layerNormGrad: Lower<'layerNormGrad'> = (call) => {
  const { e, node } = call
  const [x, weight, dy] = [input(call, 0), input(call, 1), input(call, 2)]
  const { u, inverse } = standardised(e, x, node.type.shape.at(-1) ?? 1, node.params.eps)
  const mean = (v: string): string => e.op('ReduceMean', [v, e.i64(-1)], { keepdims: 1 })
  const c = e.op('Mul', [dy, weight])
  const rest = e.op('Sub', [e.op('Sub', [c, mean(c)]), e.op('Mul', [u, mean(e.op('Mul', [c, u]))])])
  return e.op('Mul', [rest, inverse])
}

export const rotary: Lower<'rotary'> = (call) => call.e.op('RotaryEmbedding', call.inputs, { interleaved: 0 })
