/** @file The conformance suite of engines, as data: every op of the vocabulary, state, shapes that change between runs. */
import type { EngineCase } from './case.ts'
import { compositeCases } from './cases-composite.ts'
import { elementwiseCases } from './cases-elementwise.ts'
import { indexingCases } from './cases-indexing.ts'
import { shapeCases } from './cases-shape.ts'
import { stateCases } from './cases-state.ts'

export const engineCases: readonly EngineCase[] = [
  ...elementwiseCases,
  ...shapeCases,
  ...indexingCases,
  ...compositeCases,
  ...stateCases,
]
