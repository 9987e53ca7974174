/** @file The tables of all ops, and the builder over them. A name in the vocabulary without a row here does not compile. */
import { type Builder, type BuildRules, createBuilder } from '../graph/builder.ts'
import type { Graph } from '../graph/types.ts'
import { verifyGraph } from '../graph/verify.ts'
import type { CompositeName, OpName } from '../graph/vocabulary.ts'
import * as activations from './activations.ts'
import * as attentions from './attention.ts'
import * as crossEntropies from './cross-entropy.ts'
import type { CompositeTable, CoreTable } from './definition.ts'
import * as elementwise from './elementwise.ts'
import * as indexing from './indexing.ts'
import * as leaves from './leaves.ts'
import { lowRank } from './low-rank.ts'
import * as norms from './norms.ts'
import * as reductions from './reduce.ts'
import * as shapes from './shape.ts'
import * as softmaxes from './softmax.ts'

export const coreOps: CoreTable = { ...leaves, ...elementwise, ...reductions, ...shapes, ...indexing }
export const compositeOps: CompositeTable = {
  ...activations,
  ...softmaxes,
  ...attentions,
  ...norms,
  lowRank,
  ...crossEntropies,
}

const rules: BuildRules = { ...coreOps, ...compositeOps }

/** A builder over lowrank's vocabulary. */
export function newBuilder(): Builder {
  return createBuilder(rules)
}

export function isComposite(op: OpName): op is CompositeName {
  return op in compositeOps
}

export const compositeNames = Object.keys(compositeOps) as CompositeName[]
export { namedInputs } from './definition.ts'

/** Verifies a graph against this vocabulary. */
export function verify(graph: Graph): Graph {
  verifyGraph(graph, rules)
  return graph
}
