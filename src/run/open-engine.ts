/** @file Engines by the name that `--engine` takes, each loaded when it is asked for. A new engine is one line here. */
import type { Engine } from '../engine/engine.ts'
import { LowrankError } from '../support/errors.ts'

export type EngineName = 'onnxruntime' | 'reference'

const engines: { readonly [N in EngineName]?: () => Promise<Engine> } = {
  onnxruntime: async () => (await import('../engines/onnxruntime/index.ts')).onnxruntimeEngine(),
  reference: async () => (await import('../engines/reference/index.ts')).referenceEngine(),
}

/** Fastest first. */
export const engineNames: readonly EngineName[] = ['onnxruntime', 'reference']

/** Opens an engine; `auto` is the fastest. The caller disposes it. */
export async function openEngine(name: EngineName | 'auto'): Promise<Engine> {
  const open = engines[name === 'auto' ? (engineNames[0] ?? 'reference') : name]
  if (open === undefined)
    throw new LowrankError('unsupported', `the ${name} engine is not built yet`, { field: 'engine' })
  return open()
}
