/**
 * @file Reads `generation_config.json`: how a model's authors mean it to be sampled, and where it stops.
 * Must not know how sampling works. Source: transformers `GenerationConfig`.
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord } from '../support/json.ts'
import { HfConfig } from './hf-config.ts'

/** What the file says; an absent field is undefined, so that flags and defaults can be laid over it. */
export interface GenerationSettings {
  /** Tokens that end a text; empty where none is named. */
  eosTokenIds: number[]
  bosTokenId: number | undefined
  padTokenId: number | undefined
  doSample: boolean | undefined
  temperature: number | undefined
  topK: number | undefined
  topP: number | undefined
  minP: number | undefined
  repetitionPenalty: number | undefined
  maxNewTokens: number | undefined
}

/**
 * Reads a parsed generation_config.json; where it is absent (undefined) or silent, the model's config.json says
 * which tokens end a text, as in transformers. @throws {LowrankError} `format` or `config`, naming file and field.
 */
export function parseGenerationConfig(json: unknown, file: string, model?: HfConfig): GenerationSettings {
  if (json !== undefined && !isRecord(json)) throw new LowrankError('format', `${file} is not a JSON object`, { file })
  const own = new HfConfig(json ?? {}, file)
  const token = (field: string): number | undefined =>
    own.int(field, { default: undefined, min: 0 }) ?? model?.ints(field, { default: undefined, min: 0 })?.[0]
  return {
    eosTokenIds:
      own.ints('eos_token_id', { default: undefined, min: 0 }) ??
      model?.ints('eos_token_id', { default: undefined, min: 0 }) ??
      [],
    bosTokenId: token('bos_token_id'),
    padTokenId: token('pad_token_id'),
    doSample: own.boolean('do_sample', { default: undefined }),
    temperature: own.number('temperature', { default: undefined, min: 0 }),
    topK: own.int('top_k', { default: undefined, min: 0 }),
    topP: own.number('top_p', { default: undefined, min: 0, max: 1 }),
    minP: own.number('min_p', { default: undefined, min: 0, max: 1 }),
    repetitionPenalty: own.number('repetition_penalty', { default: undefined, min: 0 }),
    maxNewTokens: own.int('max_new_tokens', { default: undefined, min: 1 }),
  }
}
