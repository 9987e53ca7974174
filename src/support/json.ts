/**
 * @file Reads JSON text with errors that say where: line and column, on every Node version, and duplicate keys on request.
 * Must not know which file format the JSON belongs to. Grammar: RFC 8259.
 */
import { LowrankError } from './errors.ts'

/** Deeper nesting than any real file has; keeps the scanner's recursion, and that of readers, bounded. */
const MAX_DEPTH = 256

export interface JsonOptions {
  /** File named in errors. */
  file?: string | undefined
  /** Refuse objects that name a key twice; otherwise the last one wins, as in Python. */
  uniqueKeys?: boolean
}

/** True for a JSON object: not null, not an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Parses JSON text. @throws {LowrankError} `format`, naming file, line and column. */
export function parseJson(text: string, options: JsonOptions = {}): unknown {
  try {
    const value: unknown = JSON.parse(text)
    const fault = options.uniqueKeys === true || mayBeDeep(text) ? scan(text, options.uniqueKeys === true) : undefined
    if (fault === undefined) return value
    throw located(text, fault, options.file)
  } catch (error) {
    if (error instanceof LowrankError) throw error
    const fault = scan(text, false) ?? { at: text.length, problem: error instanceof Error ? error.message : 'not JSON' }
    throw located(text, fault, options.file)
  }
}

/** Decodes UTF-8 (a byte order mark is dropped) and parses. @throws {LowrankError} `format`. */
export function parseJsonBytes(bytes: Uint8Array, options: JsonOptions = {}): unknown {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new LowrankError('format', `${options.file ?? 'JSON'} is not UTF-8 text`, { file: options.file, cause })
  }
  return parseJson(text, options)
}

interface Fault {
  at: number
  problem: string
}

function located(text: string, fault: Fault, file: string | undefined): LowrankError {
  const before = text.slice(0, fault.at)
  const line = before.split('\n').length
  const column = fault.at - before.lastIndexOf('\n')
  const where = `line ${line}, column ${column}`
  return new LowrankError('format', `${file ?? 'this text'} is not valid JSON: ${fault.problem} at ${where}`, {
    file: file === undefined ? undefined : `${file}:${line}`,
  })
}

/** A text with few brackets cannot be deep: spares the second look at ordinary files. */
function mayBeDeep(text: string): boolean {
  let opens = 0
  for (let i = 0; i < text.length && opens <= MAX_DEPTH; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x5b || code === 0x7b) opens++
  }
  return opens > MAX_DEPTH
}

const SPACE = /[ \t\n\r]*/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const WORD = /true|false|null/y

/** Finds the first place where the text leaves the grammar (or repeats a key), without building values. */
function scan(text: string, uniqueKeys: boolean): Fault | undefined {
  let at = 0
  const fail = (problem: string): never => {
    throw { at, problem } satisfies Fault
  }
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    if (found !== undefined) at += found.length
    return found
  }
  const skip = (): string => {
    take(SPACE)
    return text[at] ?? ''
  }
  /** By hand: a pattern with alternatives would run out of stack on a string of megabytes. */
  const takeString = (): string | undefined => {
    const start = at
    if (text[at] !== '"') return undefined
    at++
    while (at < text.length && text[at] !== '"') {
      if (text.charCodeAt(at) < 0x20) fail('a control character inside a string')
      if (text[at] !== '\\') at++
      else if (take(ESCAPE) === undefined) fail('an unknown escape')
    }
    if (at >= text.length) fail('a string that does not end')
    at++
    return text.slice(start, at)
  }
  const key = (seen: Set<unknown>): void => {
    const start = at
    const raw = takeString() ?? fail(at < text.length ? 'expected a key in double quotes' : 'the text ends early')
    if (!uniqueKeys) return
    const name: unknown = JSON.parse(raw)
    if (seen.has(name)) {
      at = start
      fail(`the key ${raw.slice(0, 120)} stands twice`)
    }
    seen.add(name)
  }
  const members = (close: string, member: () => void): void => {
    at++
    if (skip() === close) {
      at++
      return
    }
    for (;;) {
      member()
      const next = skip()
      if (next !== ',' && next !== close) fail(next === '' ? 'the text ends early' : `expected , or ${close}`)
      at++
      if (next === close) return
      skip()
    }
  }
  const value = (depth: number): void => {
    if (depth > MAX_DEPTH) fail(`nesting deeper than ${MAX_DEPTH}`)
    const first = skip()
    if (first === '{') {
      const seen = new Set<unknown>()
      members('}', () => {
        key(seen)
        if (skip() !== ':') fail('expected :')
        at++
        value(depth + 1)
      })
    } else if (first === '[') members(']', () => value(depth + 1))
    else if ((takeString() ?? take(WORD) ?? take(NUMBER)) === undefined)
      fail(first === '' ? 'the text ends early' : 'expected a value')
  }
  try {
    value(0)
    if (skip() !== '') fail('more text after the end')
    return undefined
  } catch (fault) {
    if (isRecord(fault) && typeof fault.at === 'number' && typeof fault.problem === 'string')
      return { at: fault.at, problem: fault.problem }
    throw fault
  }
}
