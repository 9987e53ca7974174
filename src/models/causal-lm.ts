/**
 * @file The model seam: a family is its config and its body, and this turns the two into a model.
 * Must not know training, adapters or engines.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { newBuilder } from '../ops/index.ts'
import { LowrankError } from '../support/errors.ts'
import type { ModuleInfo } from './modules.ts'
import { createNet, type Head, type Net } from './net.ts'

/** What every family's config says, whatever its own names for it. */
export interface CommonConfig {
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** Longest sample the model allows. */
  readonly maxPositions: number
  /** A sample of more tokens is computed differently from its first token on (LongRoPE). */
  readonly longFrom?: number | undefined
  readonly tieWordEmbeddings: boolean
  /** Standard deviation of freshly drawn weights. */
  readonly initializerRange: number
}

/** Largest sizes a config may ask for, far above any model there is: a torn number must not build a graph for hours. */
export const LARGEST = { width: 2 ** 20, layers: 1000, ids: 2 ** 24 } as const

/** A family of decoder models, as its file writes it down. */
export interface Family<C extends CommonConfig> {
  /** `model_type` values of config.json. */
  readonly modelTypes: readonly string[]
  /** The prefix that some files leave out of their tensor names (transformers' base_model_prefix). */
  readonly prefix: string
  /** Reads and checks every field that changes the maths. */
  config(raw: HfConfig): C
  /** Token ids `i64[batch, seq]` → the last hidden state `f32[batch, seq, hidden]`. */
  body(net: Net, config: C, ids: Node): Node
  head(config: C): Head
  /** Scopes that gradient checkpointing treats as one: `model.layers.3.mlp.up_proj` → `model.layers.3`. */
  block: RegExp
  /** Weights whose initial deviation differs from `initializerRange`, by name. */
  initialDeviation?(config: C, name: string): number | undefined
}

/** A model: a family with its config bound. */
export interface Model {
  readonly modelType: string
  readonly config: CommonConfig
  readonly raw: HfConfig
  readonly prefix: string
  readonly head: Head
  /** Every module in order, with the tensors each holds. */
  readonly modules: readonly ModuleInfo[]
  hidden(net: Net, ids: Node): Node
  blockOf(scope: string): string | undefined
  initialDeviation(name: string): number
}

/** Erases a family's config type behind a function, so that a registry holds families of all kinds without casts. */
export interface ModelFamily {
  readonly modelTypes: readonly string[]
  open(raw: HfConfig, modelType: string): Model
}

export function causalLM<C extends CommonConfig>(family: Family<C>): ModelFamily {
  return {
    modelTypes: family.modelTypes,
    open(raw, modelType) {
      const config = family.config(raw)
      checkCommon(config, raw)
      refuseUnread(raw, modelType)
      const head = family.head(config)
      const hidden = (net: Net, ids: Node): Node => family.body(net, config, ids)
      return {
        modelType,
        config,
        raw,
        prefix: family.prefix,
        head,
        modules: listModules(hidden, head),
        hidden,
        blockOf: (scope) => family.block.exec(scope)?.[0],
        initialDeviation: (name) => family.initialDeviation?.(config, name) ?? config.initializerRange,
      }
    },
  }
}

/** Builds the model once without an engine and writes down every module it meets. */
function listModules(hidden: (net: Net, ids: Node) => Node, head: Head): ModuleInfo[] {
  const g = newBuilder()
  const modules: ModuleInfo[] = []
  const type = { dtype: 'i64', shape: ['batch', 'seq'] } as const
  const [positions, segments] = [g.feed('positions', type), g.feed('segments', type)]
  const inputs = { positions, segments, keyPositions: positions, keySegments: segments }
  const net = createNet(g, inputs, { base: (name, shape) => g.weight(name, shape), onModule: (m) => modules.push(m) })
  net.logits(head, hidden(net, g.feed('ids', type)))
  return modules
}

function checkCommon(c: CommonConfig, raw: HfConfig): void {
  if (c.heads % c.kvHeads !== 0) {
    throw raw.fault('num_key_value_heads', `is ${c.kvHeads}, which does not divide the ${c.heads} attention heads`)
  }
  if (c.headDim % 2 !== 0) throw raw.fault('head_dim', `is ${c.headDim}; rotary embedding needs an even one`)
}

/** A field nobody read may change the maths: better refused by name than ignored. */
function refuseUnread(raw: HfConfig, modelType: string): void {
  const unread = raw.unread()
  if (unread.length === 0) return
  const shown = unread.map((field) => `${field} = ${JSON.stringify(raw.value(field))}`).join(', ')
  throw new LowrankError('unsupported', `${raw.file} sets ${shown}, which lowrank's ${modelType} does not know`, {
    file: raw.file,
    field: unread[0],
    suggestion: 'remove the field from config.json if it does not change what the model computes',
  })
}
