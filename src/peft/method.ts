/**
 * @file The method seam: what a parameter-efficient method says of a module it sits at, and the adapter it makes there.
 * A method is one file in `methods/` and one name in its registry.
 * Must not know how modules are chosen, files or training.
 */
import type { InitName } from '../formats/lora-init.ts'
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { SiteModule } from '../models/modules.ts'
import type { Layer } from '../models/net.ts'
import { invariant } from '../support/errors.ts'
import type { HostTensor, TypedTensor } from '../tensor/host-tensor.ts'
import type { SiteChange } from './merge.ts'
import type { ScaleOptions, SiteScale } from './patterns.ts'
import type { TargetOptions } from './target-match.ts'

/** The fields of an adapter config that decide which tensors there are, as adapter_config.json spells them. */
export interface LayoutOptions extends TargetOptions, ScaleOptions {
  /** Name of the method. @default 'LORA' */
  readonly peft_type?: string | undefined
  /** Classifiers have a head that is saved. */
  readonly task_type?: string | null | undefined
  readonly rank_pattern?: Readonly<Record<string, number>> | undefined
  readonly alpha_pattern?: Readonly<Record<string, number>> | undefined
  readonly bias?: 'none' | 'all' | 'lora_only' | undefined
  readonly use_dora?: boolean | undefined
  readonly lora_bias?: boolean | undefined
  readonly fan_in_fan_out?: boolean | undefined
  readonly init_lora_weights?: boolean | string | undefined
  readonly ensure_weight_tying?: boolean | undefined
  readonly alora_invocation_tokens?: readonly number[] | null | undefined
  readonly trainable_token_indices?: readonly number[] | Readonly<Record<string, readonly number[]>> | null | undefined
}

export type TensorRole =
  | 'lora_A' // f32[r, in]; of an embedding f32[r, tokens]
  | 'lora_B' // f32[out, r]
  | 'lora_bias' // f32[out], added to B's output before scaling
  | 'magnitude' // f32[out], DoRA's
  | 'own' // of a method other than LoRA
  | 'bias' // a base bias that is trained
  | 'saved' // a parameter of a modules_to_save module
  | 'tokens' // rows that stand in for rows of an embedding
  | 'base' // a frozen base parameter that PEFT writes besides

/** A tensor a method trains at one module. */
export interface SiteTensor {
  /** What follows the module's path in the file's key: `lora_A.weight`. */
  readonly key: string
  readonly role: TensorRole
  readonly shape: readonly number[]
}

/** What a method makes of one module. */
export interface SitePlan {
  readonly size: SiteScale
  /** By the method's own short names, in the order the file lists them. */
  readonly tensors: Readonly<Record<string, SiteTensor>>
  /** Things that a person should be told. */
  readonly notes?: readonly string[]
}

/** One module that an adapter sits on. */
export interface AdapterSite extends SiteModule, SiteScale {
  readonly method: Method
  /** Ids of its tensors, by the method's own short names. */
  readonly ids: Readonly<Record<string, string>>
}

/** One adapter at one layer of a graph under construction. */
export interface Application {
  readonly g: Builder
  readonly layer: Layer
  readonly site: AdapterSite
  /** The layer's input: activations, or token ids of an embedding. */
  readonly x: Node
  /** A tensor of the site by its short name. */
  parameter(name: string): Node
  /** The adapter's dropout; the identity outside training. */
  dropout(x: Node): Node
  /** `f32[batch]`: how much each row of the batch takes of this adapter; absent where all take all of it. */
  readonly rowWeight?: Node | undefined
  /** How much each token takes of it: `x`'s shape without its last axis; absent where all take all of it. */
  readonly tokenWeight?: Node | undefined
}

export interface InitOptions {
  readonly seed: number
  /** `init_lora_weights` of the config. */
  readonly init: boolean | InitName
  /** First factors that were found beforehand, by module path: from the base (PiSSA …) or from rows (EVA). */
  readonly given?: ReadonlyMap<string, { readonly a: TypedTensor<'f32'>; readonly b: TypedTensor<'f32'> }> | undefined
}

/** A base tensor by the name it has in the base's file. */
export type ReadBase = (source: string) => HostTensor | Promise<HostTensor>

/** First values of a site's tensors, by short name. */
export type SiteValues = Readonly<Record<string, TypedTensor<'f32'>>>

export interface Method {
  /** `peft_type` of adapter_config.json. */
  readonly type: string
  /**
   * Plans a module.
   * @param loaded the adapter exists already, so its sizes are not ours to refuse
   * @throws LowrankError `config` naming the field and the module
   */
  plan(module: SiteModule, options: LayoutOptions, loaded: boolean): SitePlan
  /** What the site's tensors hold before the first step. */
  start(site: AdapterSite, options: InitOptions, base: ReadBase): Promise<SiteValues>
  /** `apply` honours `rowWeight`, `tokenWeight` and the site's scale; without it the adapter acts on a whole batch, in full or not at all. */
  readonly weighsRows?: boolean
  /** The layer's output with the adapter, given the output without it. */
  apply(io: Application, y: Node): Node
  /** What merging does to the weight; absent where a method cannot be merged. */
  update?(site: AdapterSite, value: (name: string) => HostTensor): SiteChange
}

/** Id of a site's tensor by the method's short name. */
export function idAt({ ids, path, method }: AdapterSite, name: string): string {
  const id = ids[name]
  invariant(id !== undefined, `${method.type} has no tensor '${name}' at ${path}`)
  return id
}
