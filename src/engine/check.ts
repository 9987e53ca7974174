/**
 * @file Complaints that every engine shares: ops it lacks, feeds that do not fit, weights that are not there.
 * Must not know any engine.
 */
import type { Graph } from '../graph/types.ts'
import type { InputKind, OpName } from '../graph/vocabulary.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import type { CompileOptions, Tensors, WeightRef } from './engine.ts'

/** @throws LowrankError 'engine' naming every op of `graph` outside `supported` and a place where each stands. */
export function refuseUnsupported(engine: string, graph: Graph, supported: (op: OpName) => boolean): void {
  const missing = new Map<OpName, Set<string>>()
  for (const { op, scope } of graph.nodes) {
    if (!supported(op))
      missing.set(op, (missing.get(op) ?? new Set()).add(scope === '' ? 'outside any module' : `in ${scope}`))
  }
  if (missing.size === 0) return
  const list = [...missing].map(([op, places]) => {
    const [first, ...more] = places
    return `${op} (${first}${more.length ? ` and ${more.length} more` : ''})`
  })
  throw new LowrankError('engine', `the ${engine} engine has no kernel for ${list.join(', ')}`)
}

/** Names of a graph's inputs of one kind. */
export function inputNames(graph: Graph, kind: InputKind): string[] {
  return [...graph.inputs].filter(([, node]) => node.params.kind === kind).map(([name]) => name)
}

/** The source of each weight input. @throws LowrankError where one is missing, of another shape, or not of floats. */
export function checkedWeights(graph: Graph, options: CompileOptions): Map<string, WeightRef | HostTensor> {
  const found = new Map<string, WeightRef | HostTensor>()
  for (const name of inputNames(graph, 'weight')) {
    const source = options.weights.get(name)
    if (!source) throw unknownName('no weight is named', name, options.weights.keys())
    const dims = graph.inputs.get(name)?.type.shape ?? []
    if (dims.length !== source.shape.length || dims.some((d, i) => typeof d === 'number' && d !== source.shape[i])) {
      const message = `weight '${name}' has shape [${source.shape.join(', ')}], the model needs [${dims.join(', ')}]`
      throw new LowrankError('engine', message, { field: name })
    }
    if (source.dtype !== 'f32' && source.dtype !== 'f16' && source.dtype !== 'bf16')
      throw new LowrankError('engine', `weight '${name}' is ${source.dtype}, not a float`, { field: name })
    found.set(name, source)
  }
  return found
}

/** @throws LowrankError where the state map names an input or output that is not there, or of another dtype. */
export function checkState(graph: Graph, state: Readonly<Record<string, string>>): void {
  const inputs = inputNames(graph, 'state')
  for (const [input, output] of Object.entries(state)) {
    if (!inputs.includes(input)) throw unknownName('no state input is named', input, inputs)
    const node = graph.outputs.get(output)
    if (!node) throw unknownName('no output is named', output, graph.outputs.keys())
    const dtype = graph.inputs.get(input)?.type.dtype
    if (node.type.dtype !== dtype)
      throw new LowrankError('engine', `output '${output}' is ${node.type.dtype}, state '${input}' is ${dtype}`)
  }
}

/** @throws LowrankError where `given` lacks one of `names`' inputs, has one that is not there, or of another dtype. */
export function checkGiven(
  graph: Graph,
  kind: 'feed' | 'state',
  given: Readonly<Record<string, Pick<HostTensor, 'dtype'>>>,
): void {
  const names = inputNames(graph, kind)
  for (const [name, value] of Object.entries(given)) {
    const node = graph.inputs.get(name)
    if (!node || node.params.kind !== kind) throw unknownName(`no ${kind} input is named`, name, names)
    if (node.type.dtype !== value.dtype) {
      const message = `input '${name}' is ${value.dtype}, expected ${node.type.dtype}`
      throw new LowrankError('engine', message, { field: name })
    }
  }
  const missing = kind === 'feed' ? names.filter((name) => !(name in given)) : []
  if (missing.length > 0)
    throw new LowrankError('engine', `input ${missing.map((n) => `'${n}'`).join(', ')} is not fed`, {
      field: missing[0],
    })
}

/** Names of the outputs a run brings to the host. @throws LowrankError for a name that is no output. */
export function fetchNames(graph: Graph, options: CompileOptions, fetch: readonly string[] | undefined): string[] {
  const kept = new Set(Object.values(options.state ?? {}))
  if (!fetch) return [...graph.outputs.keys()].filter((name) => !kept.has(name))
  for (const name of fetch)
    if (!graph.outputs.has(name)) throw unknownName('no output is named', name, graph.outputs.keys())
  return [...fetch]
}

/** @throws LowrankError 'stopped' once the caller has aborted. */
export function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new LowrankError('stopped', 'stopped by the caller', { cause: signal.reason })
}

/** State values are checked for the extents their types give as numbers; symbolic ones are bound when a run starts. */
export function checkStateShapes(graph: Graph, values: Tensors | Record<string, { shape: readonly number[] }>): void {
  for (const [name, { shape }] of Object.entries(values)) {
    const dims = graph.inputs.get(name)?.type.shape ?? []
    if (dims.length === shape.length && dims.every((d, i) => typeof d === 'string' || d === shape[i])) continue
    const message = `state '${name}' has shape [${shape.join(', ')}], expected [${dims.join(', ')}]`
    throw new LowrankError('engine', message, { field: name })
  }
}

function unknownName(problem: string, name: string, names: Iterable<string>): LowrankError {
  const [near] = nearest(name, names)
  return new LowrankError('engine', `${problem} '${name}'${near ? `; did you mean '${near}'?` : ''}`, {
    field: name,
    suggestion: near,
  })
}
