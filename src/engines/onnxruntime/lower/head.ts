/**
 * @file Lowering of cross-entropy over a linear head: rows go through the head in chunks, so that logits of all rows never
 * stand at once, and loss and gradient are made in one pass over them.
 */
import { CHUNKS, chunkRows } from '../chunks.ts'
import type { Emitter } from '../emitter.ts'
import { input, type Lower, type LowerCall } from '../lowering.ts'

export const linearCrossEntropy: Lower<'linearCrossEntropy'> = (call) => {
  const both = call.siblings('linearCrossEntropyGrad').length > 0
  return headPass(call, both).loss
}

export const linearCrossEntropyGrad: Lower<'linearCrossEntropyGrad'> = (call) => {
  const { e } = call
  const { direction } = headPass(call, true)
  return e.op('Mul', [direction, e.op('Unsqueeze', [input(call, 3), e.i64(-1)])])
}

type HeadCall = LowerCall<'linearCrossEntropy'> | LowerCall<'linearCrossEntropyGrad'>

/**
 * Loss of each row, and softmax(logits)·W − W[label], the direction its gradient scales. With a cap c logits are
 * c·tanh(logits / c), and each one's share of the direction is multiplied by the derivative 1 − tanh².
 */
function headPass(call: HeadCall, withDirection: boolean): { loss: string; direction: string } {
  const { e } = call
  const [hidden, weight, labels] = [input(call, 0), input(call, 1), input(call, 2)]
  const { softcap } = call.node.params
  const key = `head pass ${hidden} ${weight} ${labels} ${softcap}`
  const loss = e.known(`${key} loss`)
  const direction = e.known(`${key} direction`)
  if (loss !== undefined && (direction !== undefined || !withDirection)) return { loss, direction: direction ?? '' }
  const rows = call.node.inputs[0]?.type.shape[0] ?? 0
  const target = e.op('Gather', [weight, labels], { axis: 0 })
  const width = Number(call.node.inputs[0]?.type.shape[1])
  // What a chunk gives is joined before chunks are: ONNX Runtime then ends one chunk before it begins the next, and holds
  // the logits of one at a time.
  const chunks: string[] = []
  for (let i = 0; i < CHUNKS; i++) {
    const part = sliceRows(e, hidden, rows, i)
    const alpha = { float: softcap === 0 ? 1 : 1 / softcap }
    const raw = e.contrib('FusedMatMul', [part, weight], { transB: 1, alpha })
    const bent = softcap === 0 ? undefined : e.op('Tanh', [raw])
    const logits = bent === undefined ? raw : e.op('Mul', [bent, e.f32(softcap)])
    const weights = e.op('Softmax', [logits], { axis: -1 })
    // The largest softmax weight is exp(max − logsumexp), so logsumexp = max − log of it.
    const top = e.op('ReduceMax', [weights, e.i64(-1)], { keepdims: 1 })
    const largest = e.op('ReduceMax', [logits, e.i64(-1)], { keepdims: 1 })
    const logSum = e.op('Sub', [largest, e.op('Log', [top])])
    const shares = bent === undefined ? weights : e.op('Mul', [weights, slope(e, bent)])
    chunks.push(withDirection ? e.op('Concat', [e.op('MatMul', [shares, weight]), logSum], { axis: 1 }) : logSum)
  }
  const joined = e.op('Concat', chunks, { axis: 0 })
  const columns = (from: number, to: number): string => e.op('Slice', [joined, e.i64(from), e.i64(to), e.i64(1)])
  const product = e.op('ReduceSum', [e.op('Mul', [hidden, target]), e.i64(-1)], { keepdims: 0 })
  const bent = softcap === 0 ? undefined : e.op('Tanh', [e.op('Mul', [product, e.f32(1 / softcap)])])
  const own = bent === undefined ? product : e.op('Mul', [bent, e.f32(softcap)])
  const pull = bent === undefined ? target : e.op('Mul', [target, e.op('Unsqueeze', [slope(e, bent), e.i64(-1)])])
  const logSum = e.op('Squeeze', [withDirection ? columns(width, width + 1) : joined, e.i64(-1)])
  const out = {
    loss: e.op('Sub', [logSum, own]),
    direction: withDirection ? e.op('Sub', [columns(0, width), pull]) : '',
  }
  e.once(`${key} loss`, () => out.loss)
  if (withDirection) e.once(`${key} direction`, () => out.direction)
  return out
}

/** 1 − tanh². */
function slope(e: Emitter, tanh: string): string {
  return e.op('Sub', [e.f32(1), e.op('Mul', [tanh, tanh])])
}

function sliceRows(e: Emitter, x: string, rows: number | string, chunk: number): string {
  const bound = (i: number): string =>
    e.runtime(`head rows ${rows} ${i}`, 1, (value) => [Math.min(value(rows), i * chunkRows(value(rows)))])
  return e.op('Slice', [x, bound(chunk), bound(chunk + 1), e.i64(0)])
}
