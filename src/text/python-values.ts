/**
 * @file What Python makes of a template's values: how they print, and when two are equal. @huggingface/jinja prints and
 * compares as JavaScript does, which changes what templates render for None, booleans, lists and mixed types.
 * Must not know templates. Source: Python's str(), repr() and ==.
 */
import { reprFloat } from '../formats/python-json.ts'
import type { Value } from './jinja.ts'

/** Deeper values than any conversation holds; a value that contains itself ends here. */
const MAX_DEPTH = 128

/** `str(value)`; an undefined value prints as nothing. */
export function pythonText(value: Value): string {
  if (value.type === 'UndefinedValue') return ''
  return typeof value.value === 'string' ? value.value : pythonRepr(value, 0)
}

function pythonRepr(value: Value, depth: number): string {
  if (depth > MAX_DEPTH) throw new Error('a value is nested too deeply to be printed')
  const inner = value.value
  if (value.type === 'NullValue') return 'None'
  if (value.type === 'UndefinedValue') return 'Undefined'
  if (typeof inner === 'boolean') return inner ? 'True' : 'False'
  if (typeof inner === 'string') return quoted(inner)
  if (typeof inner === 'number') return value.type === 'FloatValue' ? pythonFloat(inner) : String(inner)
  if (Array.isArray(inner)) {
    const items = inner.map((item) => pythonRepr(item, depth + 1))
    if (value.type !== 'TupleValue') return `[${items.join(', ')}]`
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`
  }
  if (inner instanceof Map)
    return `{${Array.from(inner, ([key, item]) => `${quoted(String(key))}: ${pythonRepr(item, depth + 1)}`).join(', ')}}`
  throw new Error(`a ${value.type} cannot be printed`)
}

/** `repr` of a float, and what it says of those that are no number. */
function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  return Number.isFinite(value) ? reprFloat(value) : value > 0 ? 'inf' : '-inf'
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** repr of a string: single quotes, or double ones where it holds single ones alone. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  // Control characters, and separators other than the space, are not printable to Python.
  const body = text.replace(/[\\\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}']/gu, (letter) => {
    if (letter === ' ') return letter
    if (letter === "'") return quote === "'" ? "\\'" : letter
    return ESCAPES[letter] ?? escaped(letter.codePointAt(0) ?? 0)
  })
  return `${quote}${body}${quote}`
}

function escaped(point: number): string {
  const hex = point.toString(16)
  if (point <= 0xff) return `\\x${hex.padStart(2, '0')}`
  return point <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}

/** Python's `==`: no conversion between texts and numbers; lists and mappings by what they hold. */
export function pythonEquals(a: Value, b: Value, depth = 0): boolean {
  if (depth > MAX_DEPTH) throw new Error('values are nested too deeply to be compared')
  const [x, y] = [a.value, b.value]
  if (a === b) return true
  if (isNumber(x) && isNumber(y)) return Number(x) === Number(y)
  if (Array.isArray(x) && Array.isArray(y))
    return x.length === y.length && x.every((item, i) => pythonEquals(item, y[i] ?? item, depth + 1))
  if (x instanceof Map && y instanceof Map)
    return x.size === y.size && Array.from(x).every(([key, item]) => hasEqual(y, key, item, depth))
  return a.type === b.type && x === y
}

function hasEqual(map: ReadonlyMap<string, Value>, key: string, item: Value, depth: number): boolean {
  const other = map.get(key)
  return other !== undefined && pythonEquals(item, other, depth + 1)
}

/** True and False are numbers to Python. */
function isNumber(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'boolean'
}

const TYPES: Readonly<Record<string, string>> = {
  NullValue: 'NoneType',
  UndefinedValue: 'Undefined',
  BooleanValue: 'bool',
  IntegerValue: 'int',
  FloatValue: 'float',
  StringValue: 'str',
  ArrayValue: 'list',
  TupleValue: 'tuple',
  ObjectValue: 'dict',
}

/** The name Python gives the type, for errors. */
export function pythonType({ type }: Value): string {
  return TYPES[type] ?? type
}
