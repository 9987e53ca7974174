/** @file The lowering of every op this engine takes: a core op without a row here does not compile. */
import type { CompositeName, CoreName } from '../../graph/vocabulary.ts'
import * as attentions from './lower/attention.ts'
import * as composites from './lower/composites.ts'
import * as elementwise from './lower/elementwise.ts'
import * as head from './lower/head.ts'
import * as indexing from './lower/indexing.ts'
import * as products from './lower/products.ts'
import * as shapes from './lower/shape.ts'
import * as structure from './lower/structure.ts'
import type { Lowerings } from './lowering.ts'

/** Inputs are bound by model.ts, not computed. */
const core: Lowerings<Exclude<CoreName, 'input'>> = {
  ...structure,
  ...elementwise,
  ...products,
  ...shapes,
  ...indexing,
}

const kernels = { ...composites, ...attentions, ...head } satisfies Partial<Lowerings<CompositeName>>

export const keptComposites: ReadonlySet<CompositeName> = new Set(Object.keys(kernels) as (keyof typeof kernels)[])
export const lowerings = { ...core, ...kernels }
export type LoweredName = keyof typeof lowerings
