/**
 * @file What LoRA computes at a layer (arXiv 2106.09685), with rsLoRA's scale, DoRA (arXiv 2402.09353) and a bias on B.
 * Must not know files, training or which adapter it belongs to.
 */
import type { Node } from '../../graph/types.ts'
import type { Application } from '../method.ts'

/** The layer's output with the adapter: `y + s·B·A·x`, or DoRA's rescaling of it. */
export function applyLora(io: Application, y: Node): Node {
  const { site } = io
  if (site.kind === 'embedding')
    return site.ids.magnitude ? dora(io, y, y, embeddingUpdate(io)) : io.g.add(y, embeddingUpdate(io))
  const dropped = io.dropout(io.x)
  const update = linearUpdate(io, dropped)
  if (!site.ids.magnitude) return io.g.add(y, update)
  // PEFT rescales what the adapters before it gave when nothing is dropped, and a dropped product when something is.
  const product = dropped === io.x ? withoutBias(io, y) : io.layer.product(dropped)
  return dora(io, y, product, update)
}

function withoutBias({ g, layer }: Application, y: Node): Node {
  return layer.bias ? g.sub(y, layer.bias) : y
}

function linearUpdate(io: Application, x: Node): Node {
  const { g, site } = io
  const scale = scaleOf(io, x.type.shape.length)
  const update = g.lowRank(x, io.parameter('a'), io.parameter('b'), scale)
  return site.ids.bBias ? g.add(update, g.mul(io.parameter('bBias'), scale)) : update
}

/** Columns of A are picked by token; then B. */
function embeddingUpdate(io: Application): Node {
  const { g, x } = io
  const picked = g.gather(g.transpose(io.parameter('a'), { perm: [1, 0] }), x)
  return g.matmul(g.mul(picked, scaleOf(io, picked.type.shape.length)), io.parameter('b'), { transB: true })
}

/** The scale as a scalar, or shaped to meet the rows and tokens of an activation of `rank` axes. */
export function scaleOf(
  { g, site, rowWeight, tokenWeight }: Pick<Application, 'g' | 'site' | 'rowWeight' | 'tokenWeight'>,
  rank: number,
): Node {
  const shares = [rowWeight, tokenWeight].flatMap((share) => {
    if (!share) return []
    const { shape } = share.type
    return [g.reshape(share, { shape: [...shape, ...Array<number>(rank - shape.length).fill(1)] })]
  })
  return shares.reduce((scale, share) => g.mul(share, scale), g.scalar(site.scale))
}

/** `y + (f − 1)·product + f·update` with `f = magnitude / ‖W + s·BA‖`: the base's bias is not rescaled. */
function dora(io: Application, y: Node, product: Node, update: Node): Node {
  const { g } = io
  const factor = g.div(io.parameter('magnitude'), directionNorm(io))
  return g.add(y, g.add(g.mul(g.sub(factor, 1), product), g.mul(factor, update)))
}

/**
 * Length of each output's row of W + s·BA, a constant to the gradient (DoRA, section 4.3). Expanded as
 * ‖W‖² + 2s⟨W, BA⟩ + s²‖BA‖², so that B·A is never formed.
 */
function directionNorm({ g, layer, site, parameter }: Application): Node {
  const [a, b, w] = [parameter('a'), parameter('b'), layer.weight]
  const outputs = site.kind === 'linear' ? 0 : 1
  const weightSquares = g.sum(g.mul(w, w), { axes: [1 - outputs] })
  const projected = g.matmul(w, a, { transA: outputs === 1, transB: true })
  const cross = g.sum(g.mul(projected, b), { axes: [1] })
  const gram = g.matmul(a, a, { transB: true })
  const updateSquares = g.sum(g.mul(g.matmul(b, gram), b), { axes: [1] })
  const s = site.scale
  return g.detach(g.sqrt(g.add(weightSquares, g.add(g.mul(cross, 2 * s), g.mul(updateSquares, s * s)))))
}
