/**
 * @file The reference engine: plain TypeScript in f64, one small kernel a core op. The oracle that other engines are
 * compared with; slow on purpose where simple is slow. Must not know models or training.
 */
import { checkedWeights, checkState, refuseUnsupported, throwIfStopped } from '../../engine/check.ts'
import type { CompileOptions, Engine } from '../../engine/engine.ts'
import type { Graph } from '../../graph/types.ts'
import { createExecutable, type ReferenceExecutable } from './executable.ts'
import { kernels } from './kernels.ts'
import { type ExactTensor, loadWeight } from './values.ts'

export interface ReferenceEngine extends Engine {
  compile(graph: Graph, options: CompileOptions): Promise<ReferenceExecutable>
}

/** An engine with no composite kernels: everything is expanded to core ops before it. */
export function referenceEngine(): ReferenceEngine {
  return {
    name: 'reference',
    composites: new Set(),
    async compile(graph, options) {
      refuseUnsupported('reference', graph, (op) => op in kernels)
      checkState(graph, options.state ?? {})
      const weights = new Map<string, ExactTensor>()
      for (const [name, source] of checkedWeights(graph, options)) {
        throwIfStopped(options.signal)
        weights.set(name, await loadWeight(source))
      }
      return createExecutable(graph, weights, options)
    },
    async dispose() {},
  }
}

export type { ExactTensors, ReferenceExecutable } from './executable.ts'
export type { ExactTensor } from './values.ts'
