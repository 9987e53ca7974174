/**
 * @file What the layout of an adapter says: its sites, its tensors, the token rows it trains. Types alone.
 * Must not know how a layout is found, tensor values, graphs or files.
 */
import type { SiteModule } from '../models/modules.ts'
import type { ScaleOptions, SiteScale } from './patterns.ts'
import type { TargetOptions } from './target-match.ts'
import type { TargetResolution } from './targets.ts'

/** The fields of a LoraConfig that decide which tensors there are, as adapter_config.json spells them. */
export interface LayoutOptions extends TargetOptions, ScaleOptions {
  readonly rank_pattern?: Readonly<Record<string, number>> | undefined
  readonly alpha_pattern?: Readonly<Record<string, number>> | undefined
  readonly bias?: 'none' | 'all' | 'lora_only' | undefined
  readonly use_dora?: boolean | undefined
  readonly lora_bias?: boolean | undefined
  readonly fan_in_fan_out?: boolean | undefined
  readonly init_lora_weights?: boolean | string | undefined
  readonly trainable_token_indices?: readonly number[] | Readonly<Record<string, readonly number[]>> | null | undefined
}

export type TensorRole =
  | 'lora_A' // f32[r, in]; of an embedding f32[r, tokens]
  | 'lora_B' // f32[out, r]
  | 'lora_bias' // f32[out], added to B's output before scaling
  | 'magnitude' // f32[out], DoRA's
  | 'bias' // a base bias that is trained
  | 'saved' // a parameter of a modules_to_save module
  | 'tokens' // rows that stand in for rows of an embedding
  | 'base' // a frozen base parameter that PEFT writes besides

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
}

/** One module that LoRA sits on, with the ids of its tensors. */
export interface AdapterSite extends SiteModule, SiteScale {
  readonly a: string
  readonly b: string
  /** With `lora_bias`. */
  readonly bBias?: string
  /** With DoRA. */
  readonly magnitude?: string
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
  /** Things that a person should be told; none stops the adapter from working. */
  readonly notes: readonly string[]
}

export interface SavedConfig {
  readonly target_modules: string | readonly string[]
  readonly fan_in_fan_out: boolean
  /** Only where the layers have gone into `target_modules`. */
  readonly layers_to_transform?: null
  readonly layers_pattern?: null
}
