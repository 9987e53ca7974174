/** @file A compiled graph on ONNX Runtime: checks what it is given, computes run-time shapes, talks to the worker. */
import { bindDims } from '../../engine/bind-dims.ts'
import { checkGiven, checkStateShapes, fetchNames, inputNames, throwIfStopped } from '../../engine/check.ts'
import type { CompileOptions, Executable, RunOptions, Tensors } from '../../engine/engine.ts'
import type { Graph, Node } from '../../graph/types.ts'
import { invariant, LowrankError } from '../../support/errors.ts'
import { type Dim, evaluateDim } from '../../tensor/dim.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { i64 } from '../../tensor/host-tensor.ts'
import type { MaskDraw } from './masks.ts'
import type { LoweredModel } from './model.ts'
import type { Carry, NamedTensors } from './protocol.ts'
import type { WorkerClient } from './worker-client.ts'

export interface Compiled {
  readonly graph: Graph
  readonly model: Omit<LoweredModel, 'bytes' | 'held'>
  readonly options: CompileOptions
  readonly session: number
  readonly weightShapes: ReadonlyMap<string, readonly number[]>
}

export function createExecutable(client: WorkerClient, compiled: Compiled): Executable {
  const { graph, model, options, session, weightShapes } = compiled
  const stateNames = inputNames(graph, 'state')
  const shapes = new Map<string, readonly number[]>(weightShapes)
  const kept = Object.entries(options.state ?? {})
  const carry = kept.map(
    ([input, output]): Carry => ({
      input: onnxName(model.inputs, input),
      value: onnxName(model.outputs, output),
      keepsShape: isFixed(graph.inputs.get(input)) && isFixed(graph.outputs.get(output)),
    }),
  )
  let disposed = false

  function ready(signal?: AbortSignal): void {
    if (disposed) throw new LowrankError('engine', 'this executable is disposed')
    throwIfStopped(signal)
  }

  async function run(feeds: Tensors, { fetch, signal }: RunOptions = {}): Promise<Record<string, HostTensor>> {
    ready(signal)
    checkGiven(graph, 'feed', feeds)
    const names = fetchNames(graph, options, fetch)
    const unset = stateNames.filter((name) => !shapes.has(name))
    if (unset.length > 0) throw new LowrankError('engine', `state '${unset.join("', '")}' is not set`)
    const given = new Map([...shapes, ...Object.entries(feeds).map(([name, { shape }]) => [name, shape] as const)])
    const dims = bindDims(graph.inputs, given)
    const fetched = names.map((name) => [name, onnxName(model.outputs, name)] as const)
    // State is replaced in the order of requests, so its shapes are known as soon as the run is sent.
    for (const [input, output] of kept) {
      const shape = graph.outputs.get(output)?.type.shape ?? []
      shapes.set(
        input,
        shape.map((d) => evaluateDim(d, dims)),
      )
    }
    const all = { ...renamed(model.inputs, feeds), ...extents(model, dims) }
    const values = [...new Set(fetched.map(([, value]) => value))]
    const masks = draws(model, dims)
    const { tensors } = await client.request({ kind: 'run', session, feeds: all, masks, fetch: values, carry })
    return Object.fromEntries(fetched.map(([name, value]) => [name, known(tensors, value)]))
  }

  return {
    run,
    async writeState(values) {
      ready()
      checkGiven(graph, 'state', values)
      checkStateShapes(graph, values)
      for (const [name, { shape }] of Object.entries(values)) shapes.set(name, shape)
      await client.request({ kind: 'write', session, values: renamed(model.inputs, values) })
    },
    async readState(names = stateNames) {
      ready()
      const types = names.map((n) => [n, { dtype: graph.inputs.get(n)?.type.dtype ?? 'f32' }] as const)
      checkGiven(graph, 'state', Object.fromEntries(types))
      const wanted = names.map((name) => onnxName(model.inputs, name))
      const { tensors } = await client.request({ kind: 'read', session, names: wanted })
      return Object.fromEntries(names.map((name, i) => [name, known(tensors, wanted[i] ?? '')]))
    },
    ...(options.profile
      ? {
          async profile() {
            ready()
            const { profile } = await client.request({ kind: 'profile', session })
            invariant(profile, 'the engine gave no profile')
            return profile
          },
        }
      : {}),
    async dispose() {
      if (disposed) return
      disposed = true
      await client.request({ kind: 'release', session })
    },
  }
}

function isFixed(node: Pick<Node, 'type'> | undefined): boolean {
  return node?.type.shape.every((extent) => typeof extent === 'number') ?? false
}

function extents(model: Compiled['model'], dims: ReadonlyMap<string, number>): Record<string, HostTensor> {
  const out: Record<string, HostTensor> = {}
  for (const [name, { length, compute }] of model.extents) {
    out[name] = i64(
      [length],
      compute((dim) => evaluateDim(dim, dims)),
    )
  }
  return out
}

function draws(model: Compiled['model'], dims: ReadonlyMap<string, number>): MaskDraw[] {
  const sizes = (shape: readonly Dim[]): number[] => shape.map((dim) => evaluateDim(dim, dims))
  return [...model.masks].map(([name, { keys, site, rate, before, trailing }]) => {
    return { name, keys, site, rate, before: sizes(before), trailing: sizes(trailing) }
  })
}

function renamed(names: ReadonlyMap<string, string>, values: Tensors): Record<string, HostTensor> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [onnxName(names, name), value]))
}

function onnxName(names: ReadonlyMap<string, string>, name: string): string {
  const found = names.get(name)
  invariant(found !== undefined, `'${name}' is not in the model`)
  return found
}

function known(tensors: NamedTensors, name: string): HostTensor {
  const value = tensors[name]
  invariant(value, `the engine gave no '${name}'`)
  return value
}
