/** @file Runs a graph node by node in f64. Must not know models or training. */
import { bindDims } from '../../engine/bind-dims.ts'
import { checkGiven, checkStateShapes, fetchNames, inputNames, throwIfStopped } from '../../engine/check.ts'
import type { CompileOptions, Executable, RunOptions, Tensors } from '../../engine/engine.ts'
import type { Graph, Node } from '../../graph/types.ts'
import type { CoreName } from '../../graph/vocabulary.ts'
import { LowrankError } from '../../support/errors.ts'
import { evaluateDim } from '../../tensor/dim.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import type { Kernel } from './kernel.ts'
import { kernels } from './kernels.ts'
import { type ExactTensor, exact, toHost } from './values.ts'

export type ExactTensors = Readonly<Record<string, HostTensor | ExactTensor>>

/** The reference engine's executable: besides the common face, one that takes and gives f64. */
export interface ReferenceExecutable extends Executable {
  /** As `run`, without rounding feeds, results or state to f32. */
  runExact(feeds: ExactTensors, options?: RunOptions): Promise<Record<string, ExactTensor>>
  writeState(values: ExactTensors): Promise<void>
  readStateExact(names?: readonly string[]): Promise<Record<string, ExactTensor>>
}

export function createExecutable(
  graph: Graph,
  weights: ReadonlyMap<string, ExactTensor>,
  options: CompileOptions,
): ReferenceExecutable {
  const state = new Map<string, ExactTensor>()
  const stateNames = inputNames(graph, 'state')
  const kept = Object.entries(options.state ?? {})
  const lastUse = lastUses(graph)
  let disposed = false

  async function runExact(feeds: ExactTensors, { fetch, signal }: RunOptions = {}) {
    if (disposed) throw new LowrankError('engine', 'this executable is disposed')
    throwIfStopped(signal)
    checkGiven(graph, 'feed', feeds)
    const names = fetchNames(graph, options, fetch)
    const unset = stateNames.filter((name) => !state.has(name))
    if (unset.length > 0) throw new LowrankError('engine', `state '${unset.join("', '")}' is not set`)
    const fed = Object.entries(feeds).map(([name, value]) => [name, exact(value)] as const)
    const outputs = evaluate(graph, new Map([...weights, ...state, ...fed]), lastUse)
    for (const [input, output] of kept) state.set(input, known(outputs, output))
    return Object.fromEntries(names.map((name) => [name, known(outputs, name)]))
  }

  async function readStateExact(names: readonly string[] = stateNames) {
    checkGiven(graph, 'state', Object.fromEntries(names.map((n) => [n, { dtype: dtypeOf(graph, n) }])))
    return Object.fromEntries(names.map((name) => [name, known(state, name)]))
  }

  return {
    runExact,
    readStateExact,
    async run(feeds: Tensors, runOptions) {
      const outputs = hosted(await runExact(feeds, runOptions))
      // State that users can read is all there is: a run that goes on from `readState` is the same run.
      for (const [input] of kept) state.set(input, exact(toHost(known(state, input))))
      return outputs
    },
    async writeState(values) {
      checkGiven(graph, 'state', values)
      checkStateShapes(graph, values)
      for (const [name, value] of Object.entries(values)) state.set(name, exact(value))
    },
    readState: async (names) => hosted(await readStateExact(names)),
    async dispose() {
      disposed = true
      state.clear()
    },
  }
}

function evaluate(
  graph: Graph,
  bound: ReadonlyMap<string, ExactTensor>,
  lastUse: ReadonlyMap<Node, readonly Node[]>,
): Map<string, ExactTensor> {
  const dims = bindDims(graph.inputs, new Map([...graph.inputs.keys()].map((n) => [n, known(bound, n).shape])))
  const extent = (dim: number | string): number => evaluateDim(dim, dims)
  const values = new Map<Node, ExactTensor>()
  for (const node of graph.nodes) {
    const shape = node.type.shape.map(extent)
    const { dtype } = node.type
    const data = (kernels[node.op as CoreName] as Kernel<CoreName>)({
      inputs: node.inputs.map((n) => known(values, n)),
      params: node.params as never,
      shape,
      dtype,
      extent,
      bound,
      where: node.scope === '' ? node.op : `${node.op} in ${node.scope}`,
    })
    values.set(node, { dtype, shape, data })
    for (const dead of lastUse.get(node) ?? []) values.delete(dead)
  }
  return new Map([...graph.outputs].map(([name, node]) => [name, known(values, node)]))
}

/** Which values nobody reads after each node. */
function lastUses(graph: Graph): Map<Node, Node[]> {
  const seen = new Set<Node>(graph.outputs.values())
  const last = new Map<Node, Node[]>()
  for (const node of [...graph.nodes].reverse()) {
    for (const input of [...node.inputs, node]) {
      if (seen.has(input)) continue
      seen.add(input)
      last.set(node, [...(last.get(node) ?? []), input])
    }
  }
  return last
}

function hosted(values: Readonly<Record<string, ExactTensor>>): Record<string, HostTensor> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, toHost(value)]))
}

function dtypeOf(graph: Graph, name: string): ExactTensor['dtype'] {
  return graph.inputs.get(name)?.type.dtype ?? 'f32'
}

function known<K>(values: ReadonlyMap<K, ExactTensor>, key: K): ExactTensor {
  const value = values.get(key)
  if (value) return value
  const name = typeof key === 'string' ? `state '${key}' is not set` : 'internal: a value was freed too early'
  throw new LowrankError('engine', name)
}
