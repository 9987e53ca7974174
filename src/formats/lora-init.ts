/**
 * @file Names of `init_lora_weights`: which are honoured, which are refused and why, and what the honoured ones ask of a
 * run. Must not know how values are made. Source: peft 0.21, LoraConfig.
 */

/** What an adapter starts from. */
export type InitName = 'gaussian' | 'orthogonal' | 'pissa' | `pissa_niter_${number}` | 'olora' | 'loftq' | 'eva'

/** Names a person may write; `pissa_niter_N` for a whole N besides. */
export const INIT_NAMES = ['gaussian', 'orthogonal', 'pissa', 'pissa_niter_4', 'olora', 'loftq', 'eva'] as const

/** Names that PEFT knows and lowrank does not, with the reason. */
export const REFUSED_INITS: Readonly<Record<string, string>> = {
  corda: 'CorDA needs a covariance file that PEFT computes on a GPU',
  mica: 'MiCA trains A alone against minor components',
  lora_ga: 'LoRA-GA needs gradients of the whole model before training',
}

/** `pissa_niter_16` → 16: power iterations of a randomised decomposition. */
export function pissaIterations(init: string): number | undefined {
  const found = /^pissa_niter_(\d{1,3})$/.exec(init)?.[1]
  return found === undefined ? undefined : Number(found)
}

export function isInitName(value: unknown): value is InitName {
  if (typeof value !== 'string') return false
  return pissaIterations(value) !== undefined || INIT_NAMES.some((name) => name === value)
}

/** The adapter's first product is taken out of the base: W becomes W − s·B·A, or what quantising leaves of it. */
export function changesBase(init: boolean | string): init is InitName {
  return typeof init === 'string' && (init === 'olora' || init === 'loftq' || init.startsWith('pissa'))
}

/** The first values depend on the rows that are trained on. */
export const needsRows = (init: boolean | string): boolean => init === 'eva'

/** `eva_config`; defaults as PEFT's EvaConfig. */
export interface EvaConfig {
  /** Components looked at for each rank: how far ranks may move between modules. */
  readonly rho: number
  /** Cosine between a component and its last version from which it counts as found. */
  readonly tau: number
  readonly use_label_mask: boolean
  readonly label_mask_value: number
  readonly whiten: boolean
  readonly adjust_scaling_factors: boolean
}

export const EVA_DEFAULTS: EvaConfig = {
  rho: 2,
  tau: 0.99,
  use_label_mask: true,
  label_mask_value: -100,
  whiten: false,
  adjust_scaling_factors: true,
}

/** `loftq_config`; {} means its defaults. */
export interface LoftqConfig {
  readonly loftq_bits?: 4
  /** Times quantising and decomposing take turns. @default 1 */
  readonly loftq_iter?: number
}
