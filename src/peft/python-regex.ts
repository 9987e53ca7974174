/**
 * @file Python regular expressions (the `re` module, as PEFT's configs hold them) as JavaScript ones.
 * Must not know what is matched. Source: docs.python.org/3/library/re.html, "Regular Expression Syntax".
 */
import { LowrankError } from '../support/errors.ts'

/** Translated once per pattern: configs are matched against thousands of module names. */
const translated = new Map<string, RegExp>()

/** `re.fullmatch(pattern, text)`. `field` names the config field in errors. */
export function pythonFullMatch(pattern: string, text: string, field: string): boolean {
  // Outer alternatives must not escape the anchors, and inline flags must stay in front of them.
  return compile(`F${pattern}`, field, () => build(pattern, (body) => `^(?:${body})$`)).test(text)
}

/** `re.match(pattern, text)`: anchored at the start only. */
export function pythonMatch(pattern: string, text: string, field: string): RegExpExecArray | null {
  return compile(`M${pattern}`, field, () => build(pattern, (body) => `^(?:${body})`)).exec(text)
}

function compile(key: string, field: string, make: () => RegExp): RegExp {
  const known = translated.get(key)
  if (known) return known
  try {
    const regex = make()
    translated.set(key, regex)
    return regex
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LowrankError('config', `${field}: regular expression ${JSON.stringify(key.slice(1))}: ${reason}`, {
      field,
      cause,
    })
  }
}

function build(pattern: string, wrap: (body: string) => string): RegExp {
  const { body, flags } = translatePythonRegex(pattern)
  return new RegExp(wrap(body), flags)
}

/** JavaScript source and flags of a Python pattern. Throws an Error that names the construct JavaScript lacks. */
export function translatePythonRegex(pattern: string): { body: string; flags: string } {
  const inline = /^\(\?([a-zA-Z]+)\)/.exec(pattern)
  let flags = 'u'
  for (const flag of inline?.[1] ?? '') {
    if (flag === 'i' || flag === 's' || flag === 'm') flags += flags.includes(flag) ? '' : flag
    else if (flag !== 'u' && flag !== 'a') throw new Error(`inline flag (?${flag}) is not supported`)
  }
  const reader = new Reader(pattern, inline?.[0].length ?? 0)
  let body = ''
  while (!reader.done) body += piece(reader)
  return { body, flags }
}

class Reader {
  readonly text: string
  at: number

  constructor(text: string, at: number) {
    this.text = text
    this.at = at
  }

  get done(): boolean {
    return this.at >= this.text.length
  }

  /** Consumes what `sticky` (a /y regex) matches here. */
  take(sticky: RegExp): RegExpExecArray | null {
    sticky.lastIndex = this.at
    const match = sticky.exec(this.text)
    if (match) this.at += match[0].length
    return match
  }

  next(): string {
    const char = String.fromCodePoint(this.text.codePointAt(this.at) ?? 0)
    this.at += char.length
    return char
  }
}

function piece(reader: Reader): string {
  const quantifier = reader.take(/(?:[*+?]|\{(?!\})(\d*)(,?)(\d*)\})([?+]?)/y) // `{}` is text in Python
  if (quantifier) return quantify(quantifier)
  if (reader.take(/\(\?#[^)]*\)/y)) return ''
  const named = reader.take(/\(\?P<(\w+)>/y)
  if (named) return `(?<${named[1]}>`
  const back = reader.take(/\(\?P=(\w+)\)/y)
  if (back) return `\\k<${back[1]}>`
  const special = reader.take(/\(\?(?::|=|!|<=|<!)/y)
  if (special) return special[0]
  const unknown = /\(\?(?:P?.)?[^)]{0,8}/y
  unknown.lastIndex = reader.at
  if (reader.text.startsWith('(?', reader.at))
    throw new Error(`${unknown.exec(reader.text)?.[0] ?? '(?'}…: this group is not supported`)
  const char = reader.next()
  if (char === '[') return characterClass(reader)
  if (char === '\\') return escaped(reader, false)
  if (char === '{' || char === '}' || char === ']') return `\\${char}`
  return char
}

function quantify(match: RegExpExecArray): string {
  const [whole, low, comma, high, suffix] = match
  if (suffix === '+') throw new Error(`possessive quantifier ${whole} is not supported`)
  if (!whole.startsWith('{')) return whole
  return `{${low === '' ? '0' : low}${comma}${high}}${suffix}`
}

function characterClass(reader: Reader): string {
  let out = reader.take(/\^/y) ? '[^' : '['
  if (reader.take(/\]/y)) out += '\\]' // first in the class, Python takes it as text
  for (;;) {
    if (reader.done) throw new Error('unterminated character set')
    const char = reader.next()
    if (char === ']') return `${out}]`
    if (char === '\\') out += escaped(reader, true)
    else out += char === '[' ? '\\[' : char
  }
}

const CONTROL: Record<string, string> = { a: '\\x07', n: '\\n', r: '\\r', t: '\\t', f: '\\f', v: '\\v' }

/** Classes are Unicode in Python; JavaScript's are ASCII. */
const CLASSES: Record<string, [outside: string, inside: string]> = {
  d: ['\\p{Nd}', '\\p{Nd}'],
  D: ['\\P{Nd}', '\\P{Nd}'],
  w: ['[\\p{L}\\p{N}_]', '\\p{L}\\p{N}_'],
  W: ['[^\\p{L}\\p{N}_]', ''],
  s: ['\\s', '\\s'],
  S: ['\\S', '\\S'],
}

function escaped(reader: Reader, inClass: boolean): string {
  if (reader.done) throw new Error('bad escape at the end')
  const hex = reader.take(/x[\da-fA-F]{2}|u([\da-fA-F]{4})|U([\da-fA-F]{8})/y)
  if (hex) return `\\u{${Number.parseInt(hex[0].slice(1), 16).toString(16)}}`
  const octal = reader.take(inClass ? /[0-7]{1,3}/y : /0[0-7]{0,2}|[1-3][0-7]{2}/y)
  if (octal) return `\\u{${Number.parseInt(octal[0], 8).toString(16)}}`
  const reference = reader.take(/[1-9]\d?/y)
  if (reference) return inClass ? bad(reference[0]) : `(?:\\${reference[0]})` // apart from a digit that may follow
  const char = reader.next()
  if (char === 'Z' && !inClass) return '(?![^])'
  if (char === 'A' && !inClass) return '(?<![^])'
  if (char === 'b') return '\\b'
  if (char === 'B' && !inClass) return '\\B'
  const known = CLASSES[char]?.[inClass ? 1 : 0] ?? CONTROL[char]
  if (known) return known
  if (/[a-zA-Z0-9]/.test(char)) return bad(char)
  return /[\^$\\.*+?()[\]{}|/-]/.test(char) && (inClass || char !== '-') ? `\\${char}` : char
}

function bad(sequence: string): never {
  throw new Error(`escape \\${sequence} is not supported`)
}
