/** @file The kernel of every core op; a core op without a row here does not compile. */
import type { CoreName } from '../../graph/vocabulary.ts'
import * as elementwise from './elementwise.ts'
import * as indexing from './indexing.ts'
import type { Kernel } from './kernel.ts'
import * as reductions from './reduce.ts'
import * as shapes from './shape.ts'

export const kernels: { readonly [K in CoreName]: Kernel<K> } = {
  ...shapes,
  ...elementwise,
  ...reductions,
  ...indexing,
}
