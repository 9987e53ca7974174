/**
 * @file What others know of a model without its graph: its modules by Hugging Face path, in definition order.
 * Must not know graphs or engines.
 */

/** `conv1d` is GPT-2's linear layer, whose weight is stored `[in, out]`. `other` holds parameters but takes no LoRA. */
export type ModuleKind = 'linear' | 'conv1d' | 'embedding' | 'norm' | 'other'

/** Kinds that LoRA can sit on. */
export type SiteKind = 'linear' | 'conv1d' | 'embedding'

export interface ModuleParameter {
  /** `weight`, `bias`. */
  readonly name: string
  readonly shape: readonly number[]
}

/** A module that holds parameters of its own. Containers (`model.layers.0`) are derived from the paths. */
export interface ModuleInfo {
  /** Full dotted Hugging Face name, e.g. `model.layers.0.self_attn.q_proj`. */
  readonly path: string
  readonly kind: ModuleKind
  /** Columns of the input; for an embedding the number of tokens. */
  readonly inFeatures?: number
  /** Columns of the output; for an embedding its width. */
  readonly outFeatures?: number
  /** The layer `get_output_embeddings` names: `all-linear` leaves it out. */
  readonly isOutputHead?: boolean
  /** Of a classifier's head, which `all-linear` leaves out too: `classifier`, `pre_classifier`. */
  readonly isTaskHead?: boolean
  /** Stands above the last hidden state: poolers and heads. */
  readonly isAbove?: boolean
  /** Does not work on `[batch, seq, …]`: relative positions, which a batch shares, and norms of single heads. */
  readonly isOffGrid?: boolean
  /** The layer `get_input_embeddings` names. */
  readonly isInputEmbedding?: boolean
  /** Path of the module whose weight this one shares (a tied head). */
  readonly tiedTo?: string
  readonly parameters: readonly ModuleParameter[]
  /** A norm's weight in a new model. @default 1 */
  readonly freshWeight?: number
}

/** Where what a sublayer gives meets what it was given: bottleneck adapters sit here. */
export interface Sublayer {
  /** Where AdapterHub puts the adapters' parameters, as the model's Hugging Face path. */
  readonly path: string
  readonly place: 'attention' | 'feedForward'
  readonly layer: number
  readonly width: number
}

/** A module LoRA can sit on, with its sizes known. */
export interface SiteModule extends ModuleInfo {
  readonly kind: SiteKind
  readonly inFeatures: number
  readonly outFeatures: number
}

export function isSite(module: ModuleInfo): module is SiteModule {
  const adaptable = module.kind === 'linear' || module.kind === 'conv1d' || module.kind === 'embedding'
  return adaptable && module.inFeatures !== undefined && module.outFeatures !== undefined
}

/** Every module path in the order of torch's `named_modules`: containers before what they hold, no root. */
export function allPaths(modules: readonly ModuleInfo[]): string[] {
  const seen = new Set<string>()
  for (const { path } of modules) {
    for (let dot = path.indexOf('.'); dot !== -1; dot = path.indexOf('.', dot + 1)) seen.add(path.slice(0, dot))
    seen.add(path)
  }
  return [...seen]
}

/** The last segment of a dotted path. */
export function lastSegment(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1)
}
