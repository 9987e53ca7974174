/**
 * @file Lowers a whole graph to one ONNX model and says how its inputs and outputs are named. Must not know sessions.
 *
 * Order: ONNX Runtime runs a reverse depth-first walk from the leaves that meets the highest node index first, and takes
 * nodes in any order. Written in reverse, the graph's own order is the one it follows, each node as late as its first
 * user: recomputed work stays behind the cotangent it waits for, gradients are made where their operands are at hand.
 */
import type { CompileOptions, WeightRef } from '../../engine/engine.ts'
import { isWeightRef } from '../../engine/engine.ts'
import { usersOf } from '../../graph/graph.ts'
import type { Graph, Node, NodeOf } from '../../graph/types.ts'
import type { OpName } from '../../graph/vocabulary.ts'
import { invariant } from '../../support/errors.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { Emitter, type Extents, type MaskInput } from './emitter.ts'
import type { LowerCall } from './lowering.ts'
import { type LoweredName, lowerings } from './lowerings.ts'
import { placeOf } from './profile.ts'
import { encodeModel, type OnnxValue } from './proto.ts'
import { bindWeight } from './weights.ts'

export interface LoweredModel {
  readonly bytes: Uint8Array
  /** ONNX name of each feed and state input. */
  readonly inputs: ReadonlyMap<string, string>
  /** ONNX name of each output of the graph; two may share one. */
  readonly outputs: ReadonlyMap<string, string>
  /** Weights too large to stand in the model, by ONNX name: inputs that never change. */
  readonly held: Readonly<Record<string, HostTensor>>
  /** Inputs computed from the symbols' values before each run. */
  readonly extents: ReadonlyMap<string, { readonly length: number; readonly compute: Extents }>
  /** Inputs drawn before each run. */
  readonly masks: ReadonlyMap<string, MaskInput>
}

/** @param lean memory before speed: nothing is held longer than the graph needs it */
export function lowerGraph(
  graph: Graph,
  weights: ReadonlyMap<string, WeightRef | HostTensor>,
  { lean = false }: Pick<CompileOptions, 'lean'> = {},
): LoweredModel {
  const e = new Emitter({ lean })
  const names = new Map<Node, string>()
  const bound = bindInputs(graph, weights, e, names)
  const users = usersOf(graph)
  for (const node of graph.nodes) {
    if (node.op === 'input') continue
    const inputs = node.inputs.map((n) => nameOf(names, n))
    e.place = placeOf(node)
    const siblings = (op: OpName): Node[] => sharingInputs(node, op, users)
    const lower = lowerings[node.op as LoweredName] as (call: LowerCall<never>) => string
    const name = lower({ e, node: node as never, inputs, siblings })
    const isMade = !isLeaf(node) && !inputs.includes(name) && !e.masks.has(name)
    if (isMade) e.values.push({ name, dtype: node.type.dtype, shape: node.type.shape })
    names.set(node, name)
  }
  const outputs = nameOutputs(graph, e, names)
  const bytes = encodeModel({
    nodes: [...e.nodes].reverse(),
    initializers: e.initializers,
    inputs: [...bound.values, ...extentInputs(e), ...maskInputs(e)],
    outputs: [...outputs.values.values()],
    values: e.values.filter(({ name }) => !outputs.values.has(name)),
  })
  return { bytes, inputs: bound.inputs, outputs: outputs.names, held: bound.held, extents: e.extents, masks: e.masks }
}

function bindInputs(
  graph: Graph,
  weights: ReadonlyMap<string, WeightRef | HostTensor>,
  e: Emitter,
  names: Map<Node, string>,
): { inputs: Map<string, string>; values: OnnxValue[]; held: Record<string, HostTensor> } {
  const inputs = new Map<string, string>()
  const values: OnnxValue[] = []
  const held: Record<string, HostTensor> = {}
  for (const [name, node] of graph.inputs) {
    if (node.params.kind === 'weight') {
      const source = weights.get(name)
      invariant(source, `weight '${name}' is not bound`)
      const { value, input } = bindWeight(e, name, source)
      names.set(node, value)
      if (!input || isWeightRef(source)) continue
      held[value] = input
      values.push({ name: value, dtype: 'f32', shape: source.shape })
      continue
    }
    const onnx = `${node.params.kind} ${name}`
    names.set(node, onnx)
    inputs.set(name, onnx)
    values.push({ name: onnx, dtype: node.type.dtype, shape: node.type.shape })
  }
  return { inputs, values, held }
}

function extentInputs(e: Emitter): OnnxValue[] {
  return [...e.extents].map(([name, { length }]) => ({ name, dtype: 'i64', shape: [length] }))
}

function maskInputs(e: Emitter): OnnxValue[] {
  return [...e.masks].map(([name, { shape }]) => ({ name, dtype: 'f32', shape }))
}

/** Every output needs a node of its own: inputs and constants that are outputs pass through an Identity. */
function nameOutputs(
  graph: Graph,
  e: Emitter,
  names: ReadonlyMap<Node, string>,
): { names: Map<string, string>; values: Map<string, OnnxValue> } {
  const made = new Set(e.nodes.flatMap((n) => n.outputs))
  const outputs = new Map<string, string>()
  const values = new Map<string, OnnxValue>()
  e.place = 'update output '
  for (const [output, node] of graph.outputs) {
    const own = nameOf(names, node)
    const name = made.has(own) ? own : e.once(`output ${own}`, () => e.op('Identity', [own]))
    outputs.set(output, name)
    values.set(name, { name, dtype: node.type.dtype, shape: node.type.shape })
  }
  return { names: outputs, values }
}

/** Nodes of `op` that begin with all of `node`'s inputs. */
function sharingInputs(node: Node, op: OpName, users: ReadonlyMap<Node, readonly Node[]>): Node[] {
  const [first] = node.inputs
  const near = first ? (users.get(first) ?? []) : []
  return near.filter((other) => other.op === op && node.inputs.every((n, i) => n === other.inputs[i]))
}

function isLeaf(node: Node): node is NodeOf<'input'> | NodeOf<'constant'> {
  return node.op === 'input' || node.op === 'constant'
}

function nameOf(names: ReadonlyMap<Node, string>, node: Node): string {
  const name = names.get(node)
  invariant(name !== undefined, `node ${node.id} (${node.op}) is used before it is lowered`)
  return name
}
