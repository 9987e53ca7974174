/**
 * @file Cuts a text into words as data for token classification have them: punctuation stands alone.
 * Must not know tokenizers.
 */

export interface Word {
  readonly word: string
  /** Where it stands in its text, in UTF-16 units; absent for words that were given as such. */
  readonly start?: number
  readonly end?: number
}

/** Letters, digits and marks in a row, with apostrophes, hyphens, points and commas inside; any other sign alone. */
const WORD = /[\p{L}\p{N}\p{M}_]+(?:['’.,-][\p{L}\p{N}\p{M}_]+)*|[^\s]/gu

export function wordsOf(text: string): Word[] {
  return Array.from(text.matchAll(WORD), ({ 0: word, index }) => ({ word, start: index, end: index + word.length }))
}
