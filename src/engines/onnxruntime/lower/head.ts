/**
 * @file Lowering of cross-entropy over a linear head: rows go through the head in chunks, so that logits of all rows never
 * stand at once, and loss and gradient are made in one pass over them.
 */
import type { Emitter } from '../emitter.ts'
import { input, type Lower, type LowerCall } from '../lowering.ts'

/** Chunks in a model; rows beyond `CHUNKS · MIN_ROWS` make chunks larger, fewer leave some empty. */
const CHUNKS = 8
/** A chunk streams the whole head through the cache twice: fewer rows than this and that is what takes the time. */
const MIN_ROWS = 128

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

/** Loss of each row, and softmax(logits)·W − W[label], the direction its gradient scales. */
function headPass(call: HeadCall, withDirection: boolean): { loss: string; direction: string } {
  const { e } = call
  const [hidden, weight, labels] = [input(call, 0), input(call, 1), input(call, 2)]
  const key = `head pass ${hidden} ${weight} ${labels}`
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
    const logits = e.contrib('FusedMatMul', [part, weight], { transB: 1 })
    const weights = e.op('Softmax', [logits], { axis: -1 })
    // The largest softmax weight is exp(max − logsumexp), so logsumexp = max − log of it.
    const top = e.op('ReduceMax', [weights, e.i64(-1)], { keepdims: 1 })
    const largest = e.op('ReduceMax', [logits, e.i64(-1)], { keepdims: 1 })
    const logSum = e.op('Sub', [largest, e.op('Log', [top])])
    chunks.push(withDirection ? e.op('Concat', [e.op('MatMul', [weights, weight]), logSum], { axis: 1 }) : logSum)
  }
  const joined = e.op('Concat', chunks, { axis: 0 })
  const columns = (from: number, to: number): string => e.op('Slice', [joined, e.i64(from), e.i64(to), e.i64(1)])
  const own = e.op('ReduceSum', [e.op('Mul', [hidden, target]), e.i64(-1)], { keepdims: 0 })
  const logSum = e.op('Squeeze', [withDirection ? columns(width, width + 1) : joined, e.i64(-1)])
  const out = {
    loss: e.op('Sub', [logSum, own]),
    direction: withDirection ? e.op('Sub', [columns(0, width), target]) : '',
  }
  e.once(`${key} loss`, () => out.loss)
  if (withDirection) e.once(`${key} direction`, () => out.direction)
  return out
}

function sliceRows(e: Emitter, x: string, rows: number | string, chunk: number): string {
  const bound = (i: number): string =>
    e.runtime(`head rows ${rows} ${i}`, 1, (value) => {
      const all = value(rows)
      return [Math.min(all, i * Math.max(MIN_ROWS, Math.ceil(all / CHUNKS)))]
    })
  return e.op('Slice', [x, bound(chunk), bound(chunk + 1), e.i64(0)])
}
