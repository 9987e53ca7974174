/** @file Writes small random models, with a tokenizer, as Hugging Face folders: what end-to-end tests train and break. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseHfConfig } from '../../src/formats/hf-config.ts'
import { writeSafetensors } from '../../src/formats/tensor-files.ts'
import { initialWeights } from '../../src/models/initial-weights.ts'
import { modelOf } from '../../src/models/registry.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { MARKED_TEMPLATE, tinyTokenizerFiles } from './tiny-tokenizer.ts'

export type Json = Record<string, unknown>

/** 263 ids are the tiny tokenizer's. */
export const tinyLlama: Json = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 263,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  initializer_range: 0.2,
  bos_token_id: 258,
  eos_token_id: 259,
}

export const tinyGpt2: Json = {
  architectures: ['GPT2LMHeadModel'],
  model_type: 'gpt2',
  vocab_size: 263,
  n_positions: 64,
  n_embd: 16,
  n_layer: 2,
  n_head: 4,
  activation_function: 'gelu_new',
  resid_pdrop: 0,
  embd_pdrop: 0,
  attn_pdrop: 0,
  initializer_range: 0.2,
  bos_token_id: 258,
  eos_token_id: 259,
}

/** An encoder without a head: a classifier's is new. */
export const tinyBert: Json = {
  architectures: ['BertModel'],
  model_type: 'bert',
  vocab_size: 263,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 64,
  type_vocab_size: 2,
  hidden_act: 'gelu',
  layer_norm_eps: 1e-12,
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  initializer_range: 0.2,
  pad_token_id: 0,
}

/** Random weights of a config, by their names in the file. */
export function tinyWeights(config: Json, seed = 1): Map<string, HostTensor> {
  return initialWeights(modelOf(parseHfConfig(config, 'config.json')), seed)
}

/** Writes a model folder and answers it. `change` may spoil the weights before they are written. */
export async function writeTinyModel(
  folder: string,
  config: Json = tinyLlama,
  change: (weights: Map<string, HostTensor>) => void = () => undefined,
): Promise<string> {
  mkdirSync(folder, { recursive: true })
  const weights = tinyWeights(config)
  change(weights)
  const { tokenizerJson, tokenizerConfig } = tinyTokenizerFiles({ chatTemplate: MARKED_TEMPLATE })
  writeJson(join(folder, 'config.json'), config)
  writeJson(join(folder, 'tokenizer.json'), tokenizerJson)
  writeJson(join(folder, 'tokenizer_config.json'), tokenizerConfig)
  await writeSafetensors(join(folder, 'model.safetensors'), weights, { metadata: { format: 'pt' } })
  return folder
}

export function writeJson(file: string, value: unknown): string {
  writeFileSync(file, JSON.stringify(value))
  return file
}

/** Writes rows as JSONL and answers the file. */
export function writeRows(file: string, rows: readonly unknown[]): string {
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  return file
}
