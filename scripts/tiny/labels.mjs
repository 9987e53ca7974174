/**
 * @file Turns a document into ids and labels that teach copying: a token counts where its word has stood in the
 * document before. What a coined word is called when it first appears cannot be known, and learning to guess it would
 * drown the rest. Must not know grammars or files.
 */
import { Tokenizer } from '@huggingface/tokenizers'
import { pieces, specialTokens } from './bpe.mjs'

const NONE = -100
const specials = specialTokens.map((token) => token.replaceAll('|', '\\|')).join('|')
/** A run of digits is one word here, though each digit is a token. */
const units = new RegExp(`${specials}|\\p{N}+|${pieces}`, 'gu')

/**
 * @param {object} tokenizer content of tokenizer.json
 * @param {object} config content of tokenizer_config.json
 * @returns {(text: string, all: boolean) => { input_ids: number[], labels: number[] }} `all`: every token counts
 */
export function labeller(tokenizer, config) {
  const model = new Tokenizer(tokenizer, config)
  /** @type {Map<string, number[]>} */
  const known = new Map()
  const encode = (/** @type {string} */ unit) => {
    const ids = known.get(unit) ?? model.encode(unit, { add_special_tokens: false }).ids
    known.set(unit, ids)
    return ids
  }
  const [bos, eos] = [encode('<|bos|>'), encode('<|eos|>')]
  return (text, all) => {
    /** @type {number[]} */
    const input_ids = [...bos]
    const labels = bos.map(() => NONE)
    const seen = new Set()
    let repeated = false
    for (const [unit] of text.matchAll(units)) {
      const ids = encode(unit)
      // What follows a repeated word tells where a copy ends, so it counts with the word.
      if (/^[\p{L}\p{N}]/u.test(unit)) {
        const word = unit.toLowerCase()
        repeated = seen.has(word)
        seen.add(word)
      }
      input_ids.push(...ids)
      labels.push(...(all || repeated ? ids : ids.map(() => NONE)))
    }
    return { input_ids: [...input_ids, ...eos], labels: [...labels, ...eos] }
  }
}
