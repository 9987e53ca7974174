/**
 * @file Signs that a tokenizer is another model's: more or fewer tokens than the model reads, other ids for the tokens that
 * both name. Said aloud, not refused: real models differ by a few. Must not know rows or graphs.
 */
import type { RowFormat } from '../data/row-format.ts'
import type { Model } from '../models/model.ts'
import { count } from '../support/human.ts'
import type { Tokenizer } from '../text/tokenizer.ts'

/** Models round their vocabulary up: encoders by less than this share of it, decoders by less than the second. */
const SPARE = { encoder: 0.02, decoder: 0.15 } as const
const NAMED = ['pad', 'bos', 'eos', 'cls', 'sep', 'mask', 'unk'] as const

/** @param format of the rows; those of ids need no tokenizer */
export function tokenizerDoubts(
  tokenizer: Tokenizer | undefined,
  { spec, config, raw }: Pick<Model, 'spec' | 'config' | 'raw'>,
  format: RowFormat,
): string[] {
  if (!tokenizer || format === 'input_ids' || format === 'labelled-ids') return []
  const isEncoder = spec.task !== 'causal-lm'
  const [has, reads] = [tokenizer.vocabSize, config.vocabSize]
  const spare = isEncoder ? SPARE.encoder : SPARE.decoder
  const doubts: string[] = []
  if (has > reads || has < reads * (1 - spare)) doubts.push(`it has ${count(has)} tokens, and the model reads ${reads}`)
  // Decoders are given tokens for padding and turns that their configs do not know.
  if (isEncoder) doubts.push(...otherIds(tokenizer, raw.json()))
  return doubts.length === 0 ? [] : [`${tokenizer.file} may be another model's: ${doubts.join('; ')}`]
}

function otherIds(tokenizer: Tokenizer, config: Readonly<Record<string, unknown>>): string[] {
  return NAMED.flatMap((name) => {
    const token = tokenizer.specialTokens[`${name}_token`]
    const [own, meant] = [token === undefined ? undefined : tokenizer.idOf(token), config[`${name}_token_id`]]
    if (own === undefined || typeof meant !== 'number' || own === meant) return []
    return [`its ${token} is ${own}, and the model's ${name}_token_id is ${meant}`]
  })
}
