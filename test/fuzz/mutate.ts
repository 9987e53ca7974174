/** @file Seeded mutations of bytes for fuzz tests: bit flips, cuts, copies, hostile numbers and words of the format. */
import type { RandomStream } from '../../src/support/random.ts'

/** What breaks readers: numbers at the edges, names with meaning in JavaScript, brackets, half a character. */
const WORDS = [
  ...['-1', '0', '1e999', '-0', '1.5', '9007199254740993', '18446744073709551615', '1e-400', '4294967296', 'NaN'],
  ...['null', 'true', '""', '[]', '{}', '"__proto__"', '"constructor"', '"toString"', '"__metadata__"', '"length"'],
  ...['{', '}', '[', ']', ',', ':', '"', '\\', '\\u', '\\ud800', '\0', ' ', '\n', '\ufeff', '[[[[[[[[', '{"a":'],
].map((word) => new TextEncoder().encode(word))

/** One to four mutations of a copy; the same stream gives the same result. */
export function mutate(bytes: Uint8Array, random: RandomStream): Uint8Array {
  let result = Uint8Array.from(bytes)
  for (let count = 1 + random.below(4); count > 0; count--) result = once(result, random)
  return result
}

function once(bytes: Uint8Array<ArrayBuffer>, random: RandomStream): Uint8Array<ArrayBuffer> {
  const at = random.below(bytes.length + 1)
  const length = random.below(Math.min(24, bytes.length - at + 1))
  switch (random.below(7)) {
    case 0:
      return flip(bytes, random.below(Math.max(1, bytes.length)), 1 << random.below(8))
    case 1:
      return flip(bytes, random.below(Math.max(1, bytes.length)), random.below(256))
    case 2:
      return bytes.slice(0, at)
    case 3:
      return join(bytes.slice(0, at), bytes.slice(at + length))
    case 4:
      return join(bytes.slice(0, at), bytes.slice(at, at + length), bytes.slice(at))
    case 5:
      return join(bytes.slice(0, at), WORDS[random.below(WORDS.length)] ?? bytes, bytes.slice(at))
    default:
      return join(bytes.slice(0, at), WORDS[random.below(WORDS.length)] ?? bytes, bytes.slice(at + length))
  }
}

function flip(bytes: Uint8Array<ArrayBuffer>, at: number, mask: number): Uint8Array<ArrayBuffer> {
  bytes[at] = (bytes[at] ?? 0) ^ mask
  return bytes
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(parts))
}
