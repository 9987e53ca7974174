/** How close numbers must be, stated once. Changing one is a decision, not a fix. */
import type { Tolerance } from '../src/engine/case.ts'

/** An f32 engine against the f64 oracle, op by op: a few units in the last place of the largest terms. */
export const F32_ENGINE: Tolerance = { relative: 2e-5, absolute: 2e-6 }
/** The oracle against itself by another road (expansion, passes that reorder nothing): rounding of f64 alone. */
export const EXACT = 1e-9
/** Derivatives against central differences in f64 with steps of 1e-5. */
export const GRADIENT_CHECK = 1e-6
/** An f32 engine's gradient of a tensor against the same gradient made in other batches, over the tensor's norm. */
export const F32_GRADIENT = 1e-4

/** Against torch in f32, which itself is this close to torch in f64: logits 7e-6, losses 2e-6, trained tensors 2e-4. */
export const TORCH = {
  /** Largest difference of a logit. */
  logits: 1e-4,
  /** Of a number of a text's vector. */
  vectors: 1e-5,
  /** Of a loss, evaluated or in any of twenty training steps. */
  loss: 1e-4,
  /** Of a merged model's logits and loss: the merge rounds its weights once more. */
  merged: 1e-3,
  /** Distance of a gradient over its norm, and of a step's gradient norm over it. */
  gradient: 1e-4,
  /** Distance of a trained tensor over the length of its own update. */
  update: 2e-3,
} as const

/** Starts of an adapter against PEFT's, on weights of size 1 in f32. */
export const INIT = {
  /** Of an element of A or B: torch decomposes in f32, ours in f64. */
  factors: 2e-5,
  /** Of an element of the base with the start taken out, or put back. */
  base: 1e-5,
  /** Sine of the largest angle between two spaces, where PEFT's decomposition is random. */
  angle: 1e-2,
  /** Of an element of B·A that should be zero. */
  product: 1e-6,
  /** Of an element of a weight, between an adapter and its plain form. */
  converted: 1e-6,
  /** Of an error over the same error elsewhere. */
  share: 1e-5,
} as const

/** Adapters made of adapters, over the norm of what they should be: f64 inside, f32 in the files on either side. */
export const ALGEBRA = {
  /** Of factors and updates that should be equal. */
  factors: 2e-6,
  /** What an error may lie above that of the singular value decomposition. */
  best: 1e-5,
} as const

/** Losses of a run whose frozen layers are computed once for each row, without padding, against one that computes them in each step. */
export const FROZEN_PREFIX = 1e-5
