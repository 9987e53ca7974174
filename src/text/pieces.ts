/**
 * @file What a token contributes to text, as bytes or characters, for the two decoder families that decoder-only
 * models use: byte-level BPE, and SentencePiece-style with byte fallback.
 * Must not know files or vocabularies. Source: the `decoders` of the Rust `tokenizers` crate, whose results it repeats.
 */

/** How token strings become text, read from the `decoder` of a tokenizer.json. */
export type DecoderFamily =
  | { kind: 'byte-level' }
  | { kind: 'byte-fallback'; stripStart: number }
  /** Anything else: left to the library, which sees the whole sequence. */
  | { kind: 'other' }

/** Tells the family of a tokenizer.json's `decoder` entry. */
export function decoderFamily(decoder: unknown): DecoderFamily {
  const type = field(decoder, 'type')
  if (type === 'ByteLevel') return { kind: 'byte-level' }
  const steps = field(decoder, 'decoders')
  if (type !== 'Sequence' || !Array.isArray(steps)) return { kind: 'other' }
  const names = steps.map((step) => field(step, 'type'))
  if (names.length === 1 && names[0] === 'ByteLevel') return { kind: 'byte-level' }
  const [replace, , , strip] = steps
  const known =
    names.slice(0, 3).join() === 'Replace,ByteFallback,Fuse' &&
    field(field(replace, 'pattern'), 'String') === '▁' &&
    field(replace, 'content') === ' '
  if (!known) return { kind: 'other' }
  if (names.length === 3) return { kind: 'byte-fallback', stripStart: 0 }
  const stripped = names.length === 4 && names[3] === 'Strip' && field(strip, 'content') === ' '
  if (!stripped || field(strip, 'stop') !== 0) return { kind: 'other' }
  return { kind: 'byte-fallback', stripStart: Number(field(strip, 'start')) }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

const utf8 = new TextEncoder()

/**
 * Bytes of a byte-level token: each character stands for one byte (GPT-2's table). A token with a character outside the
 * table (an added token) stands for its own UTF-8.
 */
export function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF.get(token.charCodeAt(i))
    if (byte === undefined) return utf8.encode(token)
    bytes[i] = byte
  }
  return bytes
}

/** The byte that a fallback token `<0x0A>` stands for. */
export function fallbackByte(token: string): number | undefined {
  return /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : undefined
}

/** Characters of a SentencePiece-style token. */
export function sentencePieceText(token: string): string {
  return token.replaceAll('▁', ' ')
}

/** GPT-2's bytes_to_unicode, inverted: printable Latin-1 stands for itself, the other 68 bytes follow from U+0100. */
const BYTE_OF: ReadonlyMap<number, number> = (() => {
  const table = new Map<number, number>()
  let next = 256
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    table.set(printable ? byte : next++, byte)
  }
  return table
})()
