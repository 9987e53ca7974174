/** A decoder in miniature, for tests of graphs and passes: blocks of attention and a gated layer with adapters and dropout. */
import { gradients } from '../../src/autodiff/backward.ts'
import type { Tensors } from '../../src/engine/engine.ts'
import type { Builder } from '../../src/graph/builder.ts'
import { graphOf } from '../../src/graph/graph.ts'
import type { Graph, Node } from '../../src/graph/types.ts'
import { newBuilder } from '../../src/ops/index.ts'
import { RandomStream } from '../../src/support/random.ts'
import { f32, type HostTensor, i64, tensor } from '../../src/tensor/host-tensor.ts'

const [BATCH, SEQ, WIDTH, HEADS, RANK, VOCAB] = [2, 5, 8, 2, 3, 11]
export const toyDims = new Map([
  ['batch', BATCH],
  ['seq', SEQ],
])

/** Loss and gradients of every adapter tensor of `blocks` blocks; adapters sit from block `lowest` on. */
export function toyTraining(blocks: number, lowest = 0): Graph {
  const g = newBuilder()
  const adapters: Node[] = []
  const ids = g.feed('ids', { dtype: 'i64', shape: ['batch', 'seq'] })
  const labels = g.feed('labels', { dtype: 'i64', shape: ['batch*seq'] })
  const keys = g.feed('keys', { dtype: 'u32', shape: ['batch', 'seq'] })
  let h = g.scoped('embed', () => g.gather(g.weight('embed.weight', [VOCAB, WIDTH]), ids))
  const bias = g.scoped('mask', () => causalBias(g))
  for (let i = 0; i < blocks; i++) {
    const site = i >= lowest ? { adapters, keys, number: i } : undefined
    h = g.scoped(`layers.${i}`, () => block(g, h, bias, `layers.${i}`, site))
  }
  const normed = g.scoped('norm', () => g.rmsNorm(h, g.weight('norm.weight', [WIDTH]), { eps: 1e-5 }))
  const flat = g.reshape(normed, { shape: ['batch*seq', WIDTH] })
  const losses = g.scoped('head', () => g.linearCrossEntropy(flat, g.weight('head.weight', [VOCAB, WIDTH]), labels))
  const loss = g.sum(losses, { axes: [0] })
  const grads = gradients(g, loss, adapters)
  return graphOf([['loss', loss], ...adapters.map((a, i) => [`grad ${nameOf(a)}`, grads[i] ?? a] as const)])
}

interface Site {
  adapters: Node[]
  keys: Node
  number: number
}

function block(g: Builder, h: Node, bias: Node, name: string, site: Site | undefined): Node {
  const linear = (part: string, x: Node, out: number): Node =>
    g.scoped(part, () => {
      const width = Number(x.type.shape.at(-1))
      const y = g.matmul(x, g.weight(`${name}.${part}.weight`, [out, width]), { transB: true })
      if (!site) return y
      const a = g.state(`${name}.${part}.A`, [RANK, width])
      const b = g.state(`${name}.${part}.B`, [out, RANK])
      site.adapters.push(a, b)
      const mask = g.dropoutMask(site.keys, { site: 7 * site.number + part.length, rate: 0.25, trailing: [width] })
      return g.add(y, g.lowRank(g.mul(x, mask), a, b, 0.5))
    })
  const norm = (part: string, x: Node): Node =>
    g.scoped(part, () => g.rmsNorm(x, g.weight(`${name}.${part}.weight`, [WIDTH]), { eps: 1e-5 }))
  const x = norm('norm1', h)
  const heads = (y: Node, count: number): Node =>
    g.transpose(g.reshape(y, { shape: ['batch', 'seq', count, WIDTH / HEADS] }), { perm: [0, 2, 1, 3] })
  const q = heads(linear('q', x, WIDTH), HEADS)
  const k = heads(linear('kk', x, WIDTH / HEADS), 1)
  const v = heads(linear('vvv', x, WIDTH / HEADS), 1)
  const mixed = g.transpose(g.attention(q, k, v, bias, { scale: 0.5 }), { perm: [0, 2, 1, 3] })
  const middle = g.add(h, linear('outer', g.reshape(mixed, { shape: ['batch', 'seq', WIDTH] }), WIDTH))
  const z = norm('norm2', middle)
  const gated = g.mul(g.silu(linear('gate', z, 2 * WIDTH)), linear('upward', z, 2 * WIDTH))
  return g.add(middle, linear('downward', gated, WIDTH))
}

function causalBias(g: Builder): Node {
  const positions = g.feed('positions', { dtype: 'i64', shape: ['batch', 'seq'] })
  const rows = g.reshape(positions, { shape: ['batch', 1, 'seq', 1] })
  return g.select(g.lessEqual(g.reshape(positions, { shape: ['batch', 1, 1, 'seq'] }), rows), 0, -1e30)
}

function nameOf(node: Node): string {
  return node.op === 'input' ? node.params.name : node.op
}

/** Seeded values for every input of a toy graph. */
export function toyValues(graph: Graph): { feeds: Tensors; weights: Map<string, HostTensor>; state: Tensors } {
  const random = new RandomStream(1, 'toy')
  const feeds: Record<string, HostTensor> = {}
  const state: Record<string, HostTensor> = {}
  const weights = new Map<string, HostTensor>()
  const ints = (n: number, top: number): number[] => Array.from({ length: n }, () => random.below(top))
  for (const [name, { params, type }] of graph.inputs) {
    const shape = type.shape.map((d) => (typeof d === 'number' ? d : (toyDims.get(d) ?? BATCH * SEQ)))
    const size = shape.reduce((a, b) => a * b, 1)
    if (params.kind === 'feed') {
      if (name === 'positions')
        feeds[name] = i64(
          shape,
          Array.from({ length: size }, (_, i) => i % SEQ),
        )
      else if (type.dtype === 'u32') feeds[name] = tensor('u32', shape, Uint32Array.from(ints(size, 2 ** 32)))
      else feeds[name] = i64(shape, ints(size, VOCAB))
    } else {
      const value = f32(
        shape,
        Float32Array.from({ length: size }, () => random.normal() * 0.5),
      )
      if (params.kind === 'weight') weights.set(name, value)
      else state[name] = value
    }
  }
  return { feeds, weights, state }
}
