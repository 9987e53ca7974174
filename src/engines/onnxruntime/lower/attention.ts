/**
 * @file Lowering of attention and its gradients. Queries of causal attention go in blocks, each against the keys up to
 * its last row only: with four blocks 5/8 of the products and of the memory traffic between them is left, and what a
 * block holds stays in the cache. Forward and gradients share the attention weights of each block.
 *
 * Shapes: q, y, dy `[b, h, s, d]`; k, v `[b, hkv, t, d]`; inside a block of n queries that see the first m keys, heads
 * that share a key head stand together: `[b, hkv, group·n, d]` and `[b, hkv, group·n, m]`.
 */
import type { Node } from '../../../graph/types.ts'
import type { Dim } from '../../../tensor/dim.ts'
import { BLOCKS } from '../chunks.ts'
import type { Emitter } from '../emitter.ts'
import { input, type Lower, type LowerCall } from '../lowering.ts'

type GradCall = LowerCall<'attentionGradQuery'> | LowerCall<'attentionGradKey'> | LowerCall<'attentionGradValue'>
type AttentionCall = LowerCall<'attention'> | GradCall

export const attention: Lower<'attention'> = (call) => {
  const { e } = call
  const blocks = new Blocks(call)
  const v = input(call, 2)
  return blocks.joined(weightBlocks(call, blocks).map((weights, i) => e.op('MatMul', [weights, blocks.keys(v, i)])))
}

export const attentionGradQuery: Lower<'attentionGradQuery'> = (call) => gradients(call)[0]
export const attentionGradKey: Lower<'attentionGradKey'> = (call) => gradients(call)[1]
export const attentionGradValue: Lower<'attentionGradValue'> = (call) => gradients(call)[2]

/** Cotangents of q, k and v, made together by whichever is asked for first. */
function gradients(call: GradCall): readonly [string, string, string] {
  const { e, node, inputs } = call
  const key = `attention gradients ${inputs} ${node.params.scale} ${node.params.causal}`
  const [dq, dk, dv] = ['q', 'k', 'v'].map((part) => e.known(`${key} ${part}`))
  if (dq !== undefined && dk !== undefined && dv !== undefined) return [dq, dk, dv]
  const made = emitGradients(call)
  for (const [i, name] of made.entries()) e.once(`${key} ${'qkv'[i]}`, () => name)
  return made
}

function emitGradients(call: GradCall): readonly [string, string, string] {
  const { e, node } = call
  const [q, k, v, y, dy] = [input(call, 0), input(call, 1), input(call, 2), input(call, 4), input(call, 5)]
  const blocks = new Blocks(call)
  const alpha = { float: node.params.scale }
  // The row sum of P ⊙ dP equals that of dy ⊙ y, which is far shorter.
  const delta = e.op('ReduceSum', [e.op('Mul', [dy, y]), e.i64(-1)], { keepdims: 1 })
  const parts = weightBlocks(call, blocks).map((weights, i) => {
    const own = blocks.queries(dy, i, blocks.width)
    const back = e.contrib('FusedMatMul', [own, blocks.keys(v, i)], { transB: 1 })
    const scores = e.op('Mul', [weights, e.op('Sub', [back, blocks.queries(delta, i, 1)])])
    return {
      dq: e.contrib('FusedMatMul', [scores, blocks.keys(k, i)], { alpha }),
      dk: e.contrib('FusedMatMul', [scores, blocks.queries(q, i, blocks.width)], { transA: 1, alpha }),
      dv: e.contrib('FusedMatMul', [weights, own], { transA: 1 }),
    }
  })
  return [
    blocks.joined(parts.map((p) => p.dq)),
    blocks.summed(parts.map((p) => p.dk)),
    blocks.summed(parts.map((p) => p.dv)),
  ]
}

/** Attention weights of each block; made once for the forward and its gradients. */
function weightBlocks(call: AttentionCall, blocks: Blocks): string[] {
  const { e, node } = call
  const [q, k, bias] = [input(call, 0), input(call, 1), input(call, 3)]
  const alpha = { float: node.params.scale }
  const key = `attention weights ${q} ${k} ${bias} ${node.params.scale} ${node.params.causal}`
  return Array.from({ length: blocks.count }, (_, i) =>
    e.once(`${key} ${i}`, () => {
      const own = blocks.queries(q, i, blocks.width)
      const scores = e.contrib('FusedMatMul', [own, blocks.keys(k, i)], { transB: 1, alpha })
      const biased = e.op('Add', [blocks.split(scores), blocks.bias(bias, i)])
      return blocks.merged(e.op('Softmax', [biased], { axis: -1 }))
    }),
  )
}

/** How one application is cut. In reshapes 0 keeps an extent and −1 is told by the others. */
class Blocks {
  readonly count: number
  readonly width: number
  readonly #e: Emitter
  readonly #rows: Dim
  readonly #heads: number
  readonly #kvHeads: number

  constructor({ e, node }: AttentionCall) {
    const [q, k] = [extents(node.inputs[0]), extents(node.inputs[1])]
    this.#e = e
    this.count = node.params.causal ? BLOCKS : 1
    this.#heads = Number(q[1])
    this.#kvHeads = Number(k[1])
    this.#rows = q[2] ?? 1
    this.width = Number(q[3])
  }

  get #isGrouped(): boolean {
    return this.#heads !== this.#kvHeads
  }

  #reshape(x: string, ...shape: number[]): string {
    return this.#e.op('Reshape', [x, this.#e.i64(...shape)])
  }

  /** Rows of block `i` of `[b, h, s, width]`, heads grouped by their key head. */
  queries(x: string, i: number, width: number): string {
    if (!this.#isGrouped) return this.#slice(x, 2, i)
    const group = this.#heads / this.#kvHeads
    if (this.count === 1) return this.#reshape(x, 0, this.#kvHeads, -1, width)
    const apart = this.#reshape(x, 0, this.#kvHeads, group, -1, width)
    return this.#reshape(this.#slice(apart, 3, i), 0, this.#kvHeads, -1, width)
  }

  /** The keys or values that block `i` sees. */
  keys(x: string, i: number): string {
    if (i === this.count - 1) return x
    const e = this.#e
    return e.once(`keys ${x} ${this.#rows} ${i}`, () => e.op('Slice', [x, e.i64(0), this.#seen(i), e.i64(2)]))
  }

  bias(bias: string, i: number): string {
    if (this.count === 1) return bias
    const e = this.#e
    return e.once(`bias ${bias} ${i}`, () => {
      const rows = this.#slice(bias, 2, i)
      return i === this.count - 1 ? rows : e.op('Slice', [rows, e.i64(0), this.#seen(i), e.i64(3)])
    })
  }

  /** `[b, hkv, group·n, m] → [b, h, n, m]`. */
  split(x: string): string {
    return this.#isGrouped ? this.#reshape(x, 0, this.#heads, -1, 0) : x
  }

  merged(x: string): string {
    return this.#isGrouped ? this.#reshape(x, 0, this.#kvHeads, -1, 0) : x
  }

  /** Puts blocks of `[b, hkv, group·n, d]` together as `[b, h, s, d]`. */
  joined(parts: readonly string[]): string {
    const [first = ''] = parts
    if (!this.#isGrouped) return parts.length === 1 ? first : this.#e.op('Concat', parts, { axis: 2 })
    const group = this.#heads / this.#kvHeads
    if (parts.length === 1) return this.#reshape(first, 0, this.#heads, -1, this.width)
    const apart = parts.map((part) => this.#reshape(part, 0, this.#kvHeads, group, -1, this.width))
    return this.#reshape(this.#e.op('Concat', apart, { axis: 3 }), 0, this.#heads, -1, this.width)
  }

  /** Adds up cotangents of the first keys that each block saw. */
  summed(parts: readonly string[]): string {
    const e = this.#e
    return parts
      .map((part, i) => (i === parts.length - 1 ? part : e.op('Pad', [part, this.#hidden(i), e.f32(0), e.i64(2)])))
      .reduce((a, b) => e.op('Add', [a, b]))
  }

  #slice(x: string, axis: number, i: number): string {
    return this.count === 1 ? x : this.#e.op('Slice', [x, this.#bound(i), this.#bound(i + 1), this.#e.i64(axis)])
  }

  /** Where block `i` begins. */
  #bound(i: number): string {
    return this.#e.runtime(`attention bound ${this.#rows} ${i}`, 1, (value) => [boundOf(value(this.#rows), i)])
  }

  #seen(i: number): string {
    return this.#e.runtime(`attention keys ${this.#rows} ${i}`, 1, (value) => [seenBy(value(this.#rows), i)])
  }

  /**
   * As many zeros after the cotangent as there are keys that block `i` does not see. A product over no queries is not
   * zero in ONNX Runtime but what was in memory: a negative pad takes it away.
   */
  #hidden(i: number): string {
    return this.#e.runtime(`attention hidden ${this.#rows} ${i}`, 2, (value) => {
      const rows = value(this.#rows)
      const seen = seenBy(rows, i)
      return boundOf(rows, i) === boundOf(rows, i + 1) ? [-seen, rows] : [0, rows - seen]
    })
  }
}

function boundOf(rows: number, i: number): number {
  return Math.floor((rows * i) / BLOCKS)
}

/** Keys up to the block's last row; one where it has none, since shapes are told from extents that are not 0. */
function seenBy(rows: number, i: number): number {
  return Math.max(1, boundOf(rows, i + 1))
}

function extents(node: Node | undefined): readonly Dim[] {
  return node?.type.shape ?? []
}
