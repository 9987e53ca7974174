/**
 * @file Encoders: a family is its config, its body and its heads, and this turns them into a model that tells labels apart,
 * fills in masked tokens, or gives hidden states alone. Must not know training, adapters or engines.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import { type HeadSpec, headOfConfig, type Task } from '../formats/task.ts'
import type { Node } from '../graph/types.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { type CommonConfig, describe, type Model, type ModelFamily, refuseUnread } from './model.ts'
import type { Head, Net } from './net.ts'

export interface EncoderConfig extends CommonConfig {
  /** Kinds of token types that its embeddings take from the data; 0 for none. */
  readonly tokenTypes: number
}

/** A head over the vocabulary: what comes before its last layer, and that layer. */
export interface MaskedHead<C> {
  /** `f32[n, hidden] → f32[n, embedding]`. */
  transform(net: Net, config: C, rows: Node): Node
  output(config: C): Head
}

/** `f32[n, hidden]` → a number a label, `f32[n, labels]`. */
export type LabelHead<C> = (net: Net, config: C, rows: Node, labels: number) => Node

/** A family of encoders, as its file writes it down. */
export interface EncoderFamily<C extends EncoderConfig> {
  /** `model_type` values of config.json, each with the beginning of its class names. */
  readonly classes: Readonly<Record<string, string>>
  /** The prefix that files of the bare model leave out of their tensor names (transformers' base_model_prefix). */
  readonly prefix: string
  /** Reads and checks every field that changes the maths. */
  config(raw: HfConfig, task: Task): C
  /** Token ids `i64[batch, seq]` → the last hidden state `f32[batch, seq, hidden]`. */
  body(net: Net, config: C, ids: Node): Node
  /** Of a text, from its first token (or from what `pooled` made of it). */
  sequenceHead: LabelHead<C>
  /** Of each token. */
  tokenHead: LabelHead<C>
  readonly maskedHead: MaskedHead<C>
  /** Where a text is told from more than its first token. */
  pooled?(net: Net, config: C, hidden: Node): Node
  /** Scopes that gradient checkpointing treats as one. */
  block: RegExp
  /** Weights whose initial deviation differs from `initializerRange`, by name. */
  initialDeviation?(config: C, name: string): number | undefined
}

export function encoder<C extends EncoderConfig>(family: EncoderFamily<C>): ModelFamily {
  return {
    modelTypes: Object.keys(family.classes),
    open(raw, modelType, asked) {
      const meant = headOfConfig(raw)
      const spec = asked ?? meant
      if (spec.task === 'causal-lm') throw notCausal(raw, modelType)
      const config = family.config(raw, spec.task)
      checkHeads(config, raw)
      refuseUnread(raw, modelType)
      return { modelType, raw, classPrefix: family.classes[modelType], ...parts(family, config, spec) }
    },
  }
}

function parts<C extends EncoderConfig>(
  family: EncoderFamily<C>,
  config: C,
  spec: HeadSpec,
): Omit<Model, 'modelType' | 'raw' | 'classPrefix'> {
  const hidden = (net: Net, ids: Node): Node => family.body(net, config, ids)
  const output = spec.task === 'masked-lm' ? family.maskedHead.output(config) : undefined
  const { pooled } = family
  const isText = spec.task === 'classification' || spec.task === 'regression'
  const logits = (net: Net, rows: Node): Node => {
    const count = spec.labels.length
    if (output) return net.logits(output, family.maskedHead.transform(net, config, rows))
    if (isText) return family.sequenceHead(net, config, rows, count)
    return spec.task === 'token-classification' ? family.tokenHead(net, config, rows, count) : rows
  }
  const losses = (net: Net, rows: Node, labels: Node): Node => {
    invariant(spec.task !== 'embedding', 'a model without a head has no loss')
    if (output) return net.headLoss(output, family.maskedHead.transform(net, config, rows), labels)
    return net.g.crossEntropy(logits(net, rows), labels)
  }
  return {
    config,
    spec,
    prefix: family.prefix,
    head: output,
    tokenTypes: config.tokenTypes,
    ...describe(hidden, logits),
    hidden,
    logits,
    losses,
    pooled: pooled && isText ? (net, states) => pooled(net, config, states) : undefined,
    fileName: (name) => name,
    blockOf: (scope) => family.block.exec(scope)?.[0],
    initialDeviation: (name) => family.initialDeviation?.(config, name) ?? config.initializerRange,
  }
}

function notCausal(raw: HfConfig, modelType: string): LowrankError {
  const message = `${raw.file}: ${modelType} reads a text as a whole, so it writes none`
  return new LowrankError('unsupported', message, {
    file: raw.file,
    field: 'task',
    suggestion: 'use a decoder such as llama or qwen2',
  })
}

function checkHeads({ hiddenSize, heads }: EncoderConfig, raw: HfConfig): void {
  if (hiddenSize % heads === 0) return
  const field = raw.has('n_heads') ? 'n_heads' : 'num_attention_heads'
  throw raw.fault(field, `is ${heads}, which does not divide the hidden size ${hiddenSize}`)
}
