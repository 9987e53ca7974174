/**
 * @file Turns the text of a flag, or a value of a run file, into what the option's schema expects.
 * Must not refuse: what does not fit is passed on, and the schema says what was expected.
 */
import { isSlashed, type OptionFacts } from './option.ts'

const numeric = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i
/** Longest range `a-b` that is written out; no model has more layers. */
const MAX_RANGE = 10_000

/** One or several texts of the same flag. */
export function fromTexts(facts: OptionFacts, texts: readonly string[]): unknown {
  const [only, ...rest] = texts
  if (facts.syntax === 'pattern' && only !== undefined && rest.length === 0 && isKeyword(facts, only)) return only
  switch (facts.syntax) {
    case 'list':
    case 'pattern':
      return texts.flatMap((text) => splitList(text).map((item) => item.replaceAll('\\,', ',')))
    case 'texts':
      return texts.flatMap((text) => splitList(text, false).map(unescaped))
    case 'numbers':
      return texts.flatMap((text) => splitList(text).flatMap(numbersOf))
    case 'choice':
    case 'switch':
      return facts.choices?.find((choice) => String(choice) === only) ?? only
    case 'boolean':
      return only === 'true' ? true : only === 'false' ? false : only
    case 'number':
      return only === undefined ? only : numberOf(only)
    case 'count':
      return countOf(only)
    case 'object':
      return only === undefined ? only : jsonOf(only)
    case 'text':
      return only
  }
}

/** A value of a run file: text is read as a flag's, everything else is taken as it stands. */
export function fromValue(facts: OptionFacts, value: unknown): unknown {
  if (typeof value === 'string' && facts.syntax !== 'text') return fromTexts(facts, [value])
  if (facts.syntax === 'switch' && typeof value === 'boolean') return facts.choices?.[value ? 0 : 1]
  if (typeof value === 'number' && (facts.syntax === 'list' || facts.syntax === 'pattern' || facts.syntax === 'texts'))
    return [String(value)]
  // A model folder, revision or prompt that looks like a number is still text.
  if (typeof value === 'number' && facts.syntax === 'text') return String(value)
  return value
}

function isKeyword(facts: OptionFacts, text: string): boolean {
  return isSlashed(text) || text === facts.default
}

/** Splits at commas that no backslash precedes; empty items go. */
function splitList(text: string, trim = true): string[] {
  const items = text.split(/(?<!\\),/).map((item) => (trim ? item.trim() : item))
  return items.filter((item) => item !== '')
}

function unescaped(text: string): string {
  const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r', '\\': '\\', ',': ',' }
  return text.replace(/\\([ntr\\,])/g, (whole, letter: string) => escapes[letter] ?? whole)
}

function numberOf(text: string): number | string {
  return numeric.test(text.trim()) ? Number(text) : text
}

/** `20` is how many, `0,1` and `0-4` are which. */
function countOf(text: string | undefined): unknown {
  if (text === undefined) return text
  const items = splitList(text)
  return items.length === 1 && !/[-,]/.test(text) ? numberOf(text) : items.flatMap(numbersOf)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function numbersOf(text: string): (number | string)[] {
  const range = /^(\d{1,9})-(\d{1,9})$/.exec(text)
  const [first, last] = [Number(range?.[1]), Number(range?.[2])]
  if (!range || last < first || last - first >= MAX_RANGE) return [numberOf(text)]
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}
