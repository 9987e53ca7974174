/**
 * @file Text from token ids one at a time: characters whose bytes are not complete yet are held back, and everything
 * given out, joined, equals decoding the ids at once.
 * Must not know how ids were made. Source: the decoders of the Rust `tokenizers` crate.
 */
import { byteLevelBytes, fallbackByte, sentencePieceText } from './pieces.ts'

/** Feeds on ids, gives text. */
export interface StreamDecoder {
  /** Text that became certain with this id; '' while a character is incomplete. */
  push(id: number): string
  /** The rest; incomplete characters come out as U+FFFD. The decoder is then as new. */
  end(): string
}

/** The string of an id; undefined where the id stands for no text (unknown, or special and skipped). */
export type TokenLookup = (id: number) => string | undefined

/** Byte-level BPE: UTF-8 decoding goes on across tokens. */
export function byteLevelStream(lookup: TokenLookup): StreamDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return {
    push(id) {
      const token = lookup(id)
      return token === undefined ? '' : decoder.decode(byteLevelBytes(token), { stream: true })
    },
    end: () => decoder.decode(),
  }
}

/**
 * SentencePiece style: a run of byte tokens is one unit, either valid UTF-8 or one U+FFFD a byte, so it is held until it
 * ends. `stripStart` spaces are taken from the beginning of the text.
 */
export function byteFallbackStream(lookup: TokenLookup, stripStart: number): StreamDecoder {
  let run: number[] = []
  let strip = stripStart
  const takeRun = (): string => {
    const text = run.length === 0 ? '' : decodeRun(Uint8Array.from(run))
    run = []
    return text
  }
  const give = (text: string): string => {
    let from = 0
    while (strip > 0 && text[from] === ' ') {
      from++
      strip--
    }
    if (text.length > from) strip = 0
    return text.slice(from)
  }
  return {
    push(id) {
      const token = lookup(id)
      if (token === undefined) return ''
      const byte = fallbackByte(token)
      if (byte === undefined) return give(takeRun() + sentencePieceText(token))
      run.push(byte)
      return ''
    },
    end() {
      const text = give(takeRun())
      strip = stripStart
      return text
    },
  }
}

/**
 * Any other decoder, through decoding everything so far: what the last three decodings agree on is given out, as later
 * tokens may still change the end (`it`, `'`, `s` lose the spaces between them with the last).
 */
export function wholeStream(decodeAll: (ids: number[]) => string): StreamDecoder {
  let ids: number[] = []
  let given = ''
  let last = ''
  let beforeLast = ''
  return {
    push(id) {
      ids.push(id)
      const now = decodeAll(ids)
      if (now === last) return '' // a skipped token settles nothing
      const sure = commonPrefix(beforeLast, commonPrefix(last, now))
      beforeLast = last
      last = now
      if (sure.length <= given.length) return ''
      const text = sure.slice(given.length)
      given = sure
      return text
    },
    end() {
      const text = last.slice(given.length)
      ids = []
      given = ''
      last = ''
      beforeLast = ''
      return text
    },
  }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeRun(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes)
  } catch {
    return '\uFFFD'.repeat(bytes.length)
  }
}

function commonPrefix(a: string, b: string): string {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return a.slice(0, length)
}
