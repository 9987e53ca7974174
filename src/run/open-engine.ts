/** @file Engines by the name that `--engine` takes, each loaded when it is asked for. A new engine is one line here. */
import type { Engine } from '../engine/engine.ts'

const engines = {
  onnxruntime: async (): Promise<Engine> => (await import('../engines/onnxruntime/index.ts')).onnxruntimeEngine(),
  reference: async (): Promise<Engine> => (await import('../engines/reference/index.ts')).referenceEngine(),
}

export type EngineName = keyof typeof engines

/** Fastest first. */
export const engineNames: readonly EngineName[] = ['onnxruntime', 'reference']

/** Opens an engine; `auto` is the fastest. The caller disposes it. */
export async function openEngine(name: EngineName | 'auto'): Promise<Engine> {
  return engines[name === 'auto' ? 'onnxruntime' : name]()
}
