/**
 * @file Writes JSON as Python's `json.dumps(value, indent=2, sort_keys=True)` does, byte for byte: sorted keys, ASCII
 * only, floats by `repr`. Must not know what is written.
 */

/** A number that Python holds as a float: 0 is written "0.0". */
export class PythonFloat {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

export type PythonValue =
  | null
  | boolean
  | number
  | string
  | PythonFloat
  | readonly PythonValue[]
  | { readonly [key: string]: PythonValue }

/** The text json.dumps gives. Whole numbers are written as ints, others as floats. */
export function dumpsPython(value: PythonValue, indent = ''): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return dumpsText(value)
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : reprFloat(value)
  if (value instanceof PythonFloat) return reprFloat(value.value)
  const inner = `${indent}  `
  const block = (open: string, items: string[], close: string): string =>
    items.length === 0 ? `${open}${close}` : `${open}\n${items.map((i) => inner + i).join(',\n')}\n${indent}${close}`
  if (isList(value)) return block('[', value.map((item) => dumpsPython(item, inner)), ']') // biome-ignore format: one line
  const keys = Object.keys(value).sort()
  return block('{', keys.map((key) => `${dumpsText(key)}: ${dumpsPython(value[key] ?? null, inner)}`), '}') // biome-ignore format: one line
}

/** Python's `repr` of a float: shortest digits, an exponent outside 1e-4 … 1e16. */
export function reprFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [mantissa = '', power = '0'] = value.toExponential().split('e')
  const exponent = Number(power)
  if (exponent >= -4 && exponent < 16) return Number.isInteger(value) ? `${value}.0` : String(value)
  return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`
}

function dumpsText(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Array.isArray does not narrow readonly arrays. */
function isList(
  value: readonly PythonValue[] | { readonly [key: string]: PythonValue },
): value is readonly PythonValue[] {
  return Array.isArray(value)
}
