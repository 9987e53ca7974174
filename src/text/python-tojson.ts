/**
 * @file Jinja's `tojson` as transformers defines it: Python's json.dumps of a template's value. Must not know templates.
 * Source: transformers' chat_template_utils (the filter), Python's json module.
 */
import { reprFloat } from '../formats/python-json.ts'
import type { Value } from './jinja.ts'
import { pythonType } from './python-values.ts'
import { MAX_TEXT } from './template-budget.ts'

export interface ToJsonOptions {
  ensureAscii: boolean
  /** Spaces of a level; undefined: all on one line. */
  indent: number | undefined
  separators: readonly [item: string, key: string] | undefined
  sortKeys: boolean
}

/** Deeper indents than anyone reads, which would only make long texts. */
const MAX_INDENT = 64

/** @throws Error for what json.dumps refuses (an undefined value), and for texts longer than a template may hold */
export function pythonJson(value: Value, options: ToJsonOptions): string {
  if (options.indent !== undefined && !(options.indent >= 0 && options.indent <= MAX_INDENT))
    throw new Error(`tojson indents by ${options.indent}`)
  const [item, key] = options.separators ?? [options.indent === undefined ? ', ' : ',', ': ']
  const writer = new Writer(options, item, key)
  writer.write(value, 0)
  return writer.text
}

class Writer {
  text = ''
  readonly #options: ToJsonOptions
  readonly #item: string
  readonly #key: string

  constructor(options: ToJsonOptions, item: string, key: string) {
    this.#options = options
    this.#item = item
    this.#key = key
  }

  write(value: Value, depth: number): void {
    const inner = value.value
    if (value.type === 'UndefinedValue') throw new Error('tojson has no text for an undefined value')
    if (value.type === 'NullValue') this.#add('null')
    else if (typeof inner === 'boolean') this.#add(String(inner))
    else if (typeof inner === 'string') this.#add(this.#quoted(inner))
    else if (typeof inner === 'number') this.#add(value.type === 'FloatValue' ? reprFloat(inner) : String(inner))
    else if (Array.isArray(inner)) this.#block('[]', inner, depth, (one: Value) => this.write(one, depth + 1))
    else if (inner instanceof Map) {
      const entries: [string, Value][] = [...inner]
      if (this.#options.sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      this.#block('{}', entries, depth, ([name, one]) => {
        this.#add(this.#quoted(name) + this.#key)
        this.write(one, depth + 1)
      })
    } else throw new Error(`tojson has no text for a ${pythonType(value)}`)
  }

  #block<T>([open = '', close = '']: string, items: readonly T[], depth: number, write: (item: T) => void): void {
    const { indent } = this.#options
    const line = (level: number): string => (indent === undefined ? '' : `\n${' '.repeat(indent * level)}`)
    this.#add(open)
    items.forEach((item, i) => {
      this.#add((i === 0 ? '' : this.#item) + line(depth + 1))
      write(item)
    })
    this.#add((items.length === 0 ? '' : line(depth)) + close)
  }

  #quoted(text: string): string {
    const quoted = JSON.stringify(text)
    if (!this.#options.ensureAscii) return quoted
    return quoted.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  }

  #add(text: string): void {
    this.text += text
    if (this.text.length > MAX_TEXT) throw new Error('it makes too long a text')
  }
}
