/**
 * @file Which tokens of a text overlap given ranges of its characters.
 * Must not know where the ranges come from. A token that overlaps a range at all counts, as in transformers'
 * return_assistant_tokens_mask.
 */
import type { Span } from './generation-marks.ts'
import { byteLevelBytes, fallbackByte, sentencePieceText } from './pieces.ts'
import type { Tokenizer } from './tokenizer.ts'

const utf8 = new TextEncoder()

/** Ids of `text` (nothing added) and for each whether it overlaps a span. */
export function tokensInSpans(
  tokenizer: Tokenizer,
  text: string,
  spans: readonly Span[],
): { ids: number[]; inside: boolean[] } {
  const pieces = cut(text, spans).map(({ text, inside }) => ({ text: tokenizer.composed(text), inside }))
  const whole = pieces.map((piece) => piece.text).join('')
  const { ids, tokens } = tokenizer.tokens(whole)
  const bytes = utf8.encode(whole)
  const ends = tokenEnds(tokenizer, tokens, bytes)
  if (ends === undefined) return apart(tokenizer, pieces)
  const marks = new Uint8Array(bytes.length)
  let at = 0
  for (const piece of pieces) {
    const end = at + utf8.encode(piece.text).length
    if (piece.inside) marks.fill(1, at, end)
    at = end
  }
  let start = 0
  const inside = ends.map((end) => {
    const overlap = marks.subarray(start, end).includes(1)
    start = end
    return overlap
  })
  return { ids, inside }
}

interface Piece {
  text: string
  inside: boolean
}

function cut(text: string, spans: readonly Span[]): Piece[] {
  const pieces: Piece[] = []
  let at = 0
  for (const [start, end] of spans) {
    pieces.push({ text: text.slice(at, start), inside: false }, { text: text.slice(start, end), inside: true })
    at = end
  }
  pieces.push({ text: text.slice(at), inside: false })
  return pieces.filter((piece) => piece.text !== '')
}

/** Where tokens cannot be laid on the text (unknown characters, a normalizer that rewrites): each piece by itself. */
function apart(tokenizer: Tokenizer, pieces: readonly Piece[]): { ids: number[]; inside: boolean[] } {
  const ids: number[] = []
  const inside: boolean[] = []
  for (const piece of pieces) {
    for (const id of tokenizer.encode(piece.text, { addSpecialTokens: false })) {
      ids.push(id)
      inside.push(piece.inside)
    }
  }
  return { ids, inside }
}

/** Byte offset in the text at which each token ends, or undefined where they do not fit. */
function tokenEnds(tokenizer: Tokenizer, tokens: readonly string[], text: Uint8Array): number[] | undefined {
  const { kind } = tokenizer.family
  if (kind === 'other') return undefined
  const ends: number[] = []
  let at = 0
  for (const token of tokens) {
    const bytes = kind === 'byte-level' ? byteLevelBytes(token) : sentencePieceBytes(token)
    const end = place(text, at, bytes)
    if (end === undefined) return undefined
    at = end
    ends.push(at)
  }
  return isSpace(text.subarray(at)) ? ends : undefined
}

function sentencePieceBytes(token: string): Uint8Array {
  const byte = fallbackByte(token)
  return byte === undefined ? utf8.encode(sentencePieceText(token)) : Uint8Array.of(byte)
}

/** Lays a token at `at`: as it is, without the space that SentencePiece puts first, or after whitespace that an added token swallowed. */
function place(text: Uint8Array, at: number, token: Uint8Array): number | undefined {
  if (matches(text, at, token)) return at + token.length
  if (token[0] === 0x20 && matches(text, at, token.subarray(1))) return at + token.length - 1
  let from = at
  while (isSpace(text.subarray(from, from + 1)) && from < text.length) {
    from++
    if (matches(text, from, token)) return from + token.length
  }
  return undefined
}

function matches(text: Uint8Array, at: number, token: Uint8Array): boolean {
  if (at + token.length > text.length) return false
  for (let i = 0; i < token.length; i++) if (text[at + i] !== token[i]) return false
  return true
}

function isSpace(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d))
}
