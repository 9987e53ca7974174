/**
 * @file What the layout of an adapter says: its sites, its tensors, the token rows it trains. Types alone.
 * Must not know how a layout is found, tensor values, graphs or files.
 */
import type { Bottlenecks } from './bottleneck.ts'
import type { AdapterSite, TensorRole } from './method.ts'
import type { TargetResolution } from './targets.ts'

export interface AdapterTensor {
  /** Name inside lowrank: the file's key without its prefix, so unique in an adapter. */
  readonly id: string
  readonly role: TensorRole
  readonly shape: readonly number[]
  /** The module it belongs to, as the model's Hugging Face path. */
  readonly module: string
  /** For `bias`, `saved`, `tokens` and `base`: the parameter of `module` that it replaces or copies. */
  readonly parameter?: string
  /** Where that parameter's values stand in the base's file: another module's, when the head is tied. */
  readonly source?: string
  readonly trained: boolean
  /** Id of the tensor whose values PEFT writes once more under this key. */
  readonly sameAs?: string
  /** It is those values transposed: the factors of a tied head. */
  readonly transposed?: boolean
}

/** Rows of an embedding that are trained. */
export interface TokenRows {
  readonly module: string
  readonly indices: readonly number[]
  readonly id: string
  /** Modules that share the embedding's weight and follow it (a tied head). */
  readonly tied: readonly string[]
}

export interface AdapterLayout {
  readonly sites: readonly AdapterSite[]
  /** In the order of the model; trained tensors and what is saved besides. */
  readonly tensors: readonly AdapterTensor[]
  readonly tokens: readonly TokenRows[]
  readonly targets: TargetResolution
  /** What PEFT changes in the config once it has seen the model: lay it over the config before saving. */
  readonly savedConfig: SavedConfig
  /** The adapter's updates act from the last occurrence of these tokens on (aLoRA); absent where they always act. */
  readonly invocation?: readonly number[] | undefined
  /** Bottleneck adapters at sublayers. */
  readonly bottlenecks?: Bottlenecks | undefined
  /** Head and embedding share what is trained of them (ensure_weight_tying). */
  readonly tiesHeads?: boolean | undefined
  /** Things that a person should be told; none stops the adapter from working. */
  readonly notes: readonly string[]
}

export interface SavedConfig {
  readonly target_modules: string | readonly string[]
  readonly fan_in_fan_out: boolean
  /** Only where the embedding has taken the place of a head tied to it. */
  readonly modules_to_save?: readonly string[] | null
  /** Only where the layers have gone into `target_modules`. */
  readonly layers_to_transform?: null
  readonly layers_pattern?: null
}
