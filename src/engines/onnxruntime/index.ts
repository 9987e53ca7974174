/**
 * @file The onnxruntime engine: a graph becomes one ONNX model in which a whole step runs, on the CPU, in a thread of its
 * own. Must not know models or training.
 */
import { availableParallelism } from 'node:os'
import { checkedWeights, checkState, refuseUnsupported, throwIfStopped } from '../../engine/check.ts'
import type { CompileOptions, Engine, Executable } from '../../engine/engine.ts'
import { isWeightRef } from '../../engine/engine.ts'
import type { Graph } from '../../graph/types.ts'
import { symbolsOf } from '../../tensor/dim.ts'
import { createExecutable } from './executable.ts'
import { keptComposites, lowerings } from './lowerings.ts'
import { lowerGraph } from './model.ts'
import type { SessionSettings } from './protocol.ts'
import { WorkerClient } from './worker-client.ts'
import { workloadOf } from './workload.ts'

/** ONNX Runtime on the CPU. One worker thread an engine; its executables take turns. */
export function onnxruntimeEngine(): Engine {
  const client = new WorkerClient()

  async function compile(graph: Graph, options: CompileOptions): Promise<Executable> {
    throwIfStopped(options.signal)
    refuseUnsupported('onnxruntime', graph, (op) => op === 'input' || op in lowerings)
    checkState(graph, options.state ?? {})
    const weights = checkedWeights(graph, options)
    const { bytes, held, ...model } = lowerGraph(graph, weights, options)
    const halves = [...weights.values()].some((w) => isWeightRef(w) && w.dtype !== 'f32')
    const settings = settingsFor(graph, options, halves)
    const request = { kind: 'compile', model: bytes, held, settings } as const
    const { session } = await client.request(request, [bytes.buffer as ArrayBuffer])
    const weightShapes = new Map([...weights].map(([name, { shape }]) => [name, shape]))
    return createExecutable(client, { graph, model, options, session, weightShapes })
  }

  return {
    name: 'onnxruntime',
    composites: keptComposites,
    workload: workloadOf,
    compile,
    dispose: () => client.dispose(),
  }
}

function settingsFor(graph: Graph, options: CompileOptions, foldsCasts: boolean): SessionSettings {
  return {
    // More threads than cores only wait for each other, in spinning loops: a step then takes minutes.
    threads: Math.min(options.threads ?? Number.POSITIVE_INFINITY, availableParallelism()),
    // Packed copies of the weights make products of many rows a seventh faster, and cost their size again for each way a
    // weight is used: worth it for a training step, unless memory goes before speed.
    sharesWeights: options.lean === true || !graph.nodes.some((node) => node.phase === 'backward'),
    // Plans are kept for each set of shapes: where shapes change they only add up.
    plansMemory: !graph.nodes.some((node) => node.type.shape.some((d) => symbolsOf(d).length > 0)),
    foldsCasts,
    profiles: options.profile === true,
  }
}
