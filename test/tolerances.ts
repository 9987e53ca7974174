/** How close numbers must be, stated once. Changing one is a decision, not a fix. */
import type { Tolerance } from '../src/engine/case.ts'

/** An f32 engine against the f64 oracle, op by op: a few units in the last place of the largest terms. */
export const F32_ENGINE: Tolerance = { relative: 2e-5, absolute: 2e-6 }
/** The oracle against itself by another road (expansion, passes that reorder nothing): rounding of f64 alone. */
export const EXACT = 1e-9
/** Derivatives against central differences in f64 with steps of 1e-5. */
export const GRADIENT_CHECK = 1e-6
