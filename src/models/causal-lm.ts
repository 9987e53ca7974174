/**
 * @file Decoders: a family is its config and its body, and this turns the two into a model that predicts the next token.
 * Must not know training, adapters or engines.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { HeadSpec } from '../formats/task.ts'
import type { Node } from '../graph/types.ts'
import { LowrankError } from '../support/errors.ts'
import { type CommonConfig, describe, type ModelFamily, refuseUnread } from './model.ts'
import type { Head, Net } from './net.ts'

export { type CommonConfig, LARGEST, type Model, type ModelFamily } from './model.ts'

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
  /** What files call a tensor, where that is not its module's path (transformers' weight renamings). */
  fileName?(name: string): string
  /** Weights whose initial deviation differs from `initializerRange`, by name. */
  initialDeviation?(config: C, name: string): number | undefined
}

const SPEC: HeadSpec = { task: 'causal-lm', labels: [] }

export function causalLM<C extends CommonConfig>(family: Family<C>): ModelFamily {
  return {
    modelTypes: family.modelTypes,
    open(raw, modelType, asked) {
      const config = family.config(raw)
      checkCommon(config, raw)
      refuseUnread(raw, modelType)
      if (asked && asked.task !== 'causal-lm') throw noHead(raw, modelType, asked)
      const head = family.head(config)
      const hidden = (net: Net, ids: Node): Node => family.body(net, config, ids)
      const logits = (net: Net, rows: Node): Node => net.logits(head, rows)
      return {
        modelType,
        config,
        raw,
        prefix: family.prefix,
        spec: SPEC,
        head,
        tokenTypes: 0,
        ...describe(hidden, logits),
        hidden,
        logits,
        losses: (net, rows, labels) => net.headLoss(head, rows, labels),
        fileName: (name) => family.fileName?.(name) ?? name,
        blockOf: (scope) => family.block.exec(scope)?.[0],
        initialDeviation: (name) => family.initialDeviation?.(config, name) ?? config.initializerRange,
      }
    },
  }
}

function noHead(raw: HfConfig, modelType: string, { task }: HeadSpec): LowrankError {
  return new LowrankError(
    'unsupported',
    `${raw.file}: ${modelType} predicts the next token; ${task} needs an encoder`,
    {
      file: raw.file,
      field: 'task',
      suggestion: 'use a model such as bert, roberta, distilbert, electra, deberta-v2 or modernbert',
    },
  )
}

function checkCommon(c: CommonConfig, raw: HfConfig): void {
  if (c.heads % c.kvHeads !== 0) {
    throw raw.fault('num_key_value_heads', `is ${c.kvHeads}, which does not divide the ${c.heads} attention heads`)
  }
  if (c.headDim % 2 !== 0) throw raw.fault('head_dim', `is ${c.headDim}; rotary embedding needs an even one`)
}
