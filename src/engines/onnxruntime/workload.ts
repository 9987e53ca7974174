/**
 * @file What a graph will ask of a machine on this engine, from its lowerings' known shapes: products, bytes moved,
 * kernels, memory. Must not know how fast a machine is.
 */
import { type CompileOptions, fullRateOperations, type Workload } from '../../engine/engine.ts'
import { usersOf } from '../../graph/graph.ts'
import type { Graph, Node, NodeOf } from '../../graph/types.ts'
import type { OpName } from '../../graph/vocabulary.ts'
import { liveBytes, sizeInBytes, type Workspace } from '../../passes/live-bytes.ts'
import { evaluateDim } from '../../tensor/dim.ts'
import { BLOCKS, chunkRows } from './chunks.ts'
import { isDrawn } from './lowering.ts'

type Dims = ReadonlyMap<string, number>

/** Estimates a run of `graph`. */
export function workloadOf(graph: Graph, dims: Dims, { lean = false }: Pick<CompileOptions, 'lean'>): Workload {
  const users = usersOf(graph)
  let [products, moved, kernels, masks] = [0, 0, 0, 0]
  const isOutside = (node: Node): boolean => node.op === 'dropoutMask' && isDrawn(node, lean)
  const workspace = (node: Node): Workspace => (isOutside(node) ? {} : workspaceOf(node, dims, users))
  for (const node of graph.nodes) {
    const cost = isOutside(node) ? drawnCost(node, dims) : costOf(node, dims)
    products += cost.products ?? 0
    moved += cost.moved ?? 0
    kernels += cost.kernels ?? 1
    if (isOutside(node)) masks += sizeInBytes(node, dims)
  }
  return {
    products,
    moved,
    kernels,
    values: masks + liveBytes(graph, dims, workspace, isOutside),
    weights: weightBytes(graph, dims, lean),
    state: bytesOfInputs(graph, 'state', dims),
  }
}

interface Cost {
  readonly products?: number
  readonly moved?: number
  /** @default 1 */
  readonly kernels?: number
}

/** Passes over the node's output that a lowering of several kernels makes, reads and writes, and its kernels. */
const PASSES: { readonly [K in OpName]?: readonly [passes: number, kernels: number] } = {
  siluGrad: [13, 5],
  geluGrad: [21, 9],
  rmsNormGrad: [14, 10],
  layerNormGrad: [20, 10],
  dropoutMask: [40, 30],
  standardise: [4, 2],
  transpose: [4, 1],
  scatterAdd: [5, 4],
}

const FREE: ReadonlySet<OpName> = new Set(['input', 'constant', 'detach', 'barrier'])

function costOf(node: Node, dims: Dims): Cost {
  if (FREE.has(node.op)) return { kernels: 0 }
  const size = sizeInBytes(node, dims)
  const known = PASSES[node.op]
  if (known) return { moved: known[0] * size, kernels: known[1] }
  switch (node.op) {
    case 'reshape':
      return {}
    case 'slice':
    case 'gather':
      return { moved: 2 * size }
    case 'matmul':
      // Weights come from memory each time; what else a product reads was written just before.
      return { products: matmulCost(node, dims), moved: weightsOf(node).reduce((sum, w) => sum + bytesOf(w, dims), 0) }
    case 'attention':
      return attentionCost(node, dims, { products: 2, passes: 5, kernels: 12 })
    case 'attentionGradQuery':
      return attentionCost(node, dims, { products: 4, passes: 6, kernels: 20 })
    case 'attentionGradKey':
    case 'attentionGradValue':
      return { kernels: 0 }
    case 'linearCrossEntropy':
      return headCost(node, dims)
    default:
      return { moved: size + node.inputs.reduce((sum, input) => sum + bytesOf(input, dims), 0) }
  }
}

/** Of a mask that is drawn before the run: about six passes' time. */
function drawnCost(node: Node, dims: Dims): Cost {
  return { moved: 6 * sizeInBytes(node, dims), kernels: 0 }
}

function weightsOf({ inputs }: NodeOf<'matmul'>): readonly Node[] {
  return inputs.filter(isWeight)
}

function matmulCost(node: NodeOf<'matmul'>, dims: Dims): number {
  const [a = [], out] = [node.inputs[0] && extents(node.inputs[0], dims), extents(node as Node, dims)]
  const [m = 1, n = 1] = out.slice(-2)
  const k = a.at(node.params.transA ? -2 : -1) ?? 1
  return fullRateOperations(m, n, k) * out.slice(0, -2).reduce((x, y) => x * y, 1)
}

interface AttentionParts {
  readonly products: number
  readonly passes: number
  readonly kernels: number
}

/** Query blocks see the keys up to their own end: of `n` blocks, (n + 1) / 2n of all pairs are left. */
function seenShare(causal: boolean): number {
  return causal ? (BLOCKS + 1) / (2 * BLOCKS) : 1
}

type AttentionNode = NodeOf<'attention'> | NodeOf<'attentionGradQuery'>

function attentionCost(node: AttentionNode, dims: Dims, parts: AttentionParts): Cost {
  const [q, k] = [node.inputs[0] && extents(node.inputs[0], dims), node.inputs[1] && extents(node.inputs[1], dims)]
  const [b = 1, h = 1, s = 1, d = 1] = q ?? []
  const seen = (k?.[2] ?? s) * seenShare(node.params.causal)
  return {
    products: parts.products * b * h * fullRateOperations(s, seen, d),
    moved: 4 * b * h * s * (parts.passes * seen + 4 * d),
    kernels: parts.kernels * (node.params.causal ? BLOCKS : 1),
  }
}

function headCost(node: NodeOf<'linearCrossEntropy'>, dims: Dims): Cost {
  const [hidden, weight] = [node.inputs[0], node.inputs[1]]
  const [n = 1, d = 1] = hidden ? extents(hidden, dims) : []
  const vocab = weight ? (extents(weight, dims)[0] ?? 1) : 1
  return { products: 2 * fullRateOperations(n, vocab, d), moved: 16 * n * vocab, kernels: 80 }
}

/** What lowerings hold besides outputs. */
function workspaceOf(node: Node, dims: Dims, users: ReadonlyMap<Node, readonly Node[]>): Workspace {
  const size = sizeInBytes(node, dims)
  switch (node.op) {
    case 'siluGrad':
    case 'geluGrad':
    case 'rmsNormGrad':
    case 'layerNormGrad':
      return { during: 2 * size }
    case 'dropoutMask':
      return { during: 5 * size }
    case 'attention':
    case 'attentionGradQuery':
      return attentionWorkspace(node, dims, users)
    case 'linearCrossEntropy': {
      const [n = 1, vocab = 1] = [node.inputs[0], node.inputs[1]].map((x) => x && extents(x, dims)[0])
      return { during: 8 * Math.min(n, chunkRows(n)) * vocab }
    }
    default:
      return {}
  }
}

/** Attention weights live from where they are made to the gradients that use them again. */
function attentionWorkspace(node: AttentionNode, dims: Dims, users: ReadonlyMap<Node, readonly Node[]>): Workspace {
  const [q, k] = [node.inputs[0], node.inputs[1]]
  const [b = 1, h = 1, s = 1] = q ? extents(q, dims) : []
  const t = (k && extents(k, dims)[2]) ?? s
  const block = (4 * b * h * s * t) / (node.params.causal ? BLOCKS : 1)
  if (node.op !== 'attention') return { during: 3 * block }
  const gradients = (q ? (users.get(q) ?? []) : []).filter((n) => n.op === 'attentionGradQuery' && n.inputs[1] === k)
  const whole = 4 * b * h * s * t * seenShare(node.params.causal)
  return { during: 2 * block, ...(gradients.length > 0 ? { kept: { bytes: whole, until: gradients } } : {}) }
}

/** What a packed copy takes, against the weight. */
const PACKED = 1.11

/** ONNX Runtime reads a mapped file in pieces around the page that is asked for. */
const READ_AHEAD = 1 << 16

/**
 * Bytes of weights: a packed copy for each product that uses one, or the one mapped copy where memory goes first; of
 * tables that only rows are read from, those rows.
 */
function weightBytes(graph: Graph, dims: Dims, lean: boolean): number {
  const mapped = new Set<Node>()
  let bytes = 0
  for (const node of graph.nodes) {
    const [first, second] = node.inputs
    if (node.op === 'gather' && first && isWeight(first))
      bytes += Math.min(bytesOf(first, dims), (second ? count(second, dims) : 0) * READ_AHEAD)
    const factors = node.op === 'matmul' ? node.inputs : node.op === 'linearCrossEntropy' ? [second] : []
    for (const factor of factors) {
      if (!factor || !isWeight(factor)) continue
      mapped.add(factor)
      // The head is multiplied with twice, forward and backward.
      if (!lean) bytes += PACKED * bytesOf(factor, dims) * (node.op === 'linearCrossEntropy' ? 2 : 1)
    }
  }
  return lean ? [...mapped].reduce((sum, node) => sum + bytesOf(node, dims), bytes) : bytes
}

function isWeight(node: Node): boolean {
  return node.op === 'input' && node.params.kind === 'weight'
}

function bytesOfInputs(graph: Graph, kind: 'state' | 'weight', dims: Dims): number {
  const own = [...graph.inputs.values()].filter((node) => node.params.kind === kind)
  return own.reduce((sum, node) => sum + bytesOf(node as Node, dims), 0)
}

/** As `sizeInBytes`, of inputs too. */
function bytesOf(node: Node, dims: Dims): number {
  return count(node, dims) * (node.type.dtype === 'i64' ? 8 : 4)
}

function count(node: Node, dims: Dims): number {
  return extents(node, dims).reduce((product, extent) => product * extent, 1)
}

function extents(node: Node, dims: Dims): number[] {
  return node.type.shape.map((extent) => evaluateDim(extent, dims))
}
