/**
 * @file Learns byte-pair merges (Sennrich et al. 2016, arXiv:1508.07909) and writes them as a Hugging Face tokenizer.json.
 * Must not know where its text comes from. Ties go to the pair that sorts first, so the result is reproducible.
 */

export const specialTokens = ['<|pad|>', '<|bos|>', '<|eos|>', '<|user|>', '<|assistant|>', '<|end|>']

/**
 * A run of letters, one digit, one space or one sign. A space is a piece of its own and never part of a word:
 * a name then has the same tokens after a space and after a quote, which is what makes it easy to copy.
 */
export const pieces = '\\p{L}+|\\p{N}|\\s|[^\\s\\p{L}\\p{N}]'

/** GPT-2's printable stand-in for each byte (openai/gpt-2, encoder.py, bytes_to_unicode). @returns {string[]} */
export function byteLetters() {
  const plain = (/** @type {number} */ b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
  let next = 256
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(plain(b) ? b : next++))
}

/**
 * @param {Iterable<string>} texts
 * @param {number} size entries of the vocabulary, specials and 256 bytes included
 * @returns {[string, string][]}
 */
export function trainMerges(texts, size) {
  const letters = byteLetters()
  const words = distinctPieces(texts).map(([piece, count]) => ({
    symbols: [...Buffer.from(piece)].map((b) => letters[b] ?? ''),
    weight: count,
  }))
  const pairs = new Pairs()
  for (const word of words) pairs.add(word, 1)
  /** @type {[string, string][]} */
  const merges = []
  const seen = new Set(letters)
  while (specialTokens.length + 256 + merges.length < size) {
    const best = pairs.heaviest()
    if (best === undefined) break
    const [left, right] = best
    for (const word of pairs.wordsWith(best)) {
      pairs.add(word, -1)
      word.symbols = join(word.symbols, left, right)
      pairs.add(word, 1)
    }
    if (seen.has(left + right)) continue
    seen.add(left + right)
    merges.push(best)
  }
  return merges
}

/** @param {Iterable<string>} texts @returns {[string, number][]} */
function distinctPieces(texts) {
  const pattern = new RegExp(pieces, 'gu')
  /** @type {Map<string, number>} */
  const counts = new Map()
  for (const text of texts)
    for (const [piece] of text.matchAll(pattern)) counts.set(piece, (counts.get(piece) ?? 0) + 1)
  return [...counts].filter(([piece]) => piece.length > 1)
}

/** @typedef {{ symbols: string[], weight: number }} Word */

/** How much each neighbouring pair weighs and where it stands, kept up to date merge by merge. */
class Pairs {
  /** @type {Map<string, { weight: number, words: Set<Word> }>} */
  #found = new Map()

  /** @param {Word} word @param {1 | -1} sign */
  add(word, sign) {
    for (let i = 1; i < word.symbols.length; i++) {
      const pair = `${word.symbols[i - 1]} ${word.symbols[i]}`
      const entry = this.#found.get(pair) ?? { weight: 0, words: new Set() }
      entry.weight += sign * word.weight
      if (sign === 1) entry.words.add(word)
      else entry.words.delete(word)
      if (entry.words.size === 0) this.#found.delete(pair)
      else this.#found.set(pair, entry)
    }
  }

  /** @param {[string, string]} pair @returns {Word[]} */
  wordsWith(pair) {
    return [...(this.#found.get(pair.join(' '))?.words ?? [])]
  }

  /** @returns {[string, string] | undefined} */
  heaviest() {
    let best
    let most = 0
    for (const [pair, { weight }] of this.#found) {
      if (weight > most || (weight === most && best !== undefined && pair < best)) [best, most] = [pair, weight]
    }
    return best === undefined ? undefined : /** @type {[string, string]} */ (best.split(' '))
  }
}

/** @param {string[]} symbols @param {string} left @param {string} right */
function join(symbols, left, right) {
  const out = []
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      out.push(left + right)
      i++
    } else out.push(symbols[i] ?? '')
  }
  return out
}

/** The content of tokenizer.json. @param {[string, string][]} merges */
export function tokenizerJson(merges) {
  const tokens = [...specialTokens, ...byteLetters(), ...merges.map(([left, right]) => left + right)]
  const bos = specialTokens.indexOf('<|bos|>')
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: pieces }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|bos|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [
        { SpecialToken: { id: '<|bos|>', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { Sequence: { id: 'B', type_id: 1 } },
      ],
      special_tokens: { '<|bos|>': { id: '<|bos|>', ids: [bos], tokens: ['<|bos|>'] } },
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => `${left} ${right}`),
    },
  }
}
