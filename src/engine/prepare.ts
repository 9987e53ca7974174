/** @file The passes every graph goes through before an engine compiles it. Must not know any engine. */
import type { Graph } from '../graph/types.ts'
import type { CompositeName } from '../graph/vocabulary.ts'
import { eliminateDeadCode } from '../passes/dead-code.ts'
import { expandComposites } from '../passes/expand.ts'
import { fold } from '../passes/fold.ts'

/** Folded, with only the composites in `kept`, and nothing that no output needs. */
export function prepare(graph: Graph, kept: ReadonlySet<CompositeName>): Graph {
  return eliminateDeadCode(fold(expandComposites(fold(graph), kept)))
}
