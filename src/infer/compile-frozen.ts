/**
 * @file Compiles a graph whose weights stay as they are: what follows from them alone is computed once, before.
 * Must not know models.
 */
import type { CompileOptions, Engine, Executable } from '../engine/engine.ts'
import { prepare } from '../engine/prepare.ts'
import type { Graph } from '../graph/types.ts'
import { hoist } from '../passes/hoist.ts'

/** @throws LowrankError as `Engine.compile` */
export async function compileFrozen(engine: Engine, graph: Graph, options: CompileOptions): Promise<Executable> {
  const { graph: rest, once } = hoist(prepare(graph, engine.composites))
  if (!once) return await engine.compile(rest, options)
  const { state: _, ...stateless } = options
  const executable = await engine.compile(once, stateless)
  const values = await executable.run({})
  await executable.dispose()
  const weights = new Map([...options.weights, ...Object.entries(values)])
  return await engine.compile(rest, { ...options, weights })
}
