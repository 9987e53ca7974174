/**
 * @file What one option is: a zod schema for its value, and the words that help, errors, JSON Schema and docs need.
 * Must not know which verbs exist or where a value came from.
 */
import { z } from 'zod'

/** How the text of a flag becomes a value before the schema sees it. */
export type Syntax =
  | 'text'
  | 'number'
  | 'boolean' // --x / --no-x
  | 'switch' // a word, where the bare flag means the first of `choices`
  | 'choice'
  | 'list'
  | 'texts' // a list in which \n, \t and \\ are escapes
  | 'numbers' // a list of whole numbers, with ranges 0-4
  | 'pattern' // a list of names, or a regular expression in slashes
  | 'count' // a whole number, or a list of them with ranges 0-4
  | 'object' // JSON in a flag, maps and lists in a run file

/** What a value must be, in words and for the flag reader. */
export interface ValueInfo {
  syntax: Syntax
  /** Completes "expects …" in an error. */
  expects: string
  /** Shown in help after the flag, e.g. `N`. Empty for booleans. */
  placeholder: string
  choices?: readonly (string | boolean)[]
  /** Values that a later version understands: refused by name. */
  later?: readonly string[]
  /** Values that others know and lowrank does not, with the reason: refused by name. */
  refused?: Readonly<Record<string, string>>
}

export interface Option<S extends z.ZodType = z.ZodType> {
  schema: S
  description: string
  /** Heading it stands under in help and docs. */
  group: string
  /** Unit of a number, where the description does not say it. */
  unit?: string
  /** What no value means, where a schema default cannot say it (`runs/<date>-…`, `the seed`). */
  defaultText?: string
}

export type OptionTable = Readonly<Record<string, Option>>
export type Shape<T extends OptionTable> = { [K in keyof T]: T[K]['schema'] }

/** Facts about a value schema live beside it, so that `.optional()` and `.default()` need not repeat them. */
const valueInfo = new WeakMap<z.core.$ZodType, ValueInfo>()

function withInfo<S extends z.ZodType>(schema: S, info: ValueInfo): S {
  valueInfo.set(schema, info)
  return schema
}

/** Builds an option; the description is carried into JSON Schema. */
export function option<S extends z.ZodType>(
  group: string,
  schema: S,
  description: string,
  more: { unit?: string; defaultText?: string } = {},
): Option<S> {
  return { schema, description, group, ...more }
}

export interface OptionFacts extends ValueInfo {
  default: unknown
  required: boolean
}

/** Looks through `.optional()` and `.default()` to the value schema. */
export function optionFacts(option: Option): OptionFacts {
  let schema: z.core.$ZodType = option.schema
  let [fallback, required]: [unknown, boolean] = [undefined, true]
  for (;;) {
    const info = valueInfo.get(schema)
    if (info !== undefined) return { ...info, default: fallback, required }
    if (schema instanceof z.ZodDefault) {
      fallback = schema.def.defaultValue
      required = false
    } else if (schema instanceof z.ZodOptional) required = false
    else throw new Error('internal: an option whose value was not made by config/option.ts')
    schema = schema.def.innerType
  }
}

/** `loraPlusRatio` → `lora-plus-ratio`, as flags and run files spell it. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** `lora-plus-ratio` or `loraPlusRatio` → `loraPlusRatio`. */
export function camel(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

// ── kinds of values ──────────────────────────────────────────────────────────────────────────────────────────────

export function integer(min: number, max = Number.MAX_SAFE_INTEGER): z.ZodInt {
  const range = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`
  const schema = z.int().min(min).max(max)
  return withInfo(schema, { syntax: 'number', expects: `a whole number ${range}`, placeholder: 'N' })
}

export interface Range {
  /** Smallest value allowed. */
  min?: number
  /** The value must be larger than this. */
  above?: number
  /** Largest value allowed. */
  max?: number
  /** The value must be smaller than this. */
  below?: number
}

export function number({ min, above, max, below }: Range): z.ZodNumber {
  let schema = z.number()
  if (min !== undefined) schema = schema.min(min)
  if (above !== undefined) schema = schema.gt(above)
  if (max !== undefined) schema = schema.max(max)
  if (below !== undefined) schema = schema.lt(below)
  const low = min !== undefined ? `${min} or more` : above !== undefined ? `above ${above}` : ''
  const high = max !== undefined ? `at most ${max}` : below !== undefined ? `below ${below}` : ''
  const range = [low, high].filter(Boolean).join(' and ')
  return withInfo(schema, { syntax: 'number', expects: `a number${range ? ` (${range})` : ''}`, placeholder: 'X' })
}

/** A whole number, or the word `auto`. */
export function integerOrAuto(min: number, max: number): z.ZodType<number | 'auto', number | 'auto'> {
  const schema = z.union([z.int().min(min).max(max), z.literal('auto')])
  return withInfo(schema, {
    syntax: 'number',
    expects: `a whole number from ${min} to ${max}, or auto`,
    placeholder: 'N',
  })
}

export function text(placeholder: string, expects = 'some text'): z.ZodString {
  return withInfo(z.string().min(1), { syntax: 'text', expects, placeholder })
}

/** Text that may be empty: a prompt, a system message. */
export function freeText(placeholder: string): z.ZodString {
  return withInfo(z.string(), { syntax: 'text', expects: 'some text', placeholder })
}

export function boolean(): z.ZodBoolean {
  return withInfo(z.boolean(), { syntax: 'boolean', expects: 'true or false', placeholder: '' })
}

export function choice<const T extends readonly string[]>(
  choices: T,
  later: readonly string[] = [],
): z.ZodEnum<{ [K in T[number]]: K }> {
  const info: ValueInfo = { syntax: 'choice', expects: oneOf(choices), placeholder: choices.join('|'), choices }
  return withInfo(z.enum(choices), later.length > 0 ? { ...info, later } : info)
}

/** A choice of which the bare flag means the first: `--recompute` is `--recompute on`. */
export function switchOf<const T extends readonly string[]>(choices: T): z.ZodEnum<{ [K in T[number]]: K }> {
  return withInfo(z.enum(choices), {
    syntax: 'switch',
    expects: oneOf(choices),
    placeholder: `[${choices.join('|')}]`,
    choices,
  })
}

/** `true`, `false`, one of the words, or `PREFIXn` with a whole number n. */
export function booleanOr<const T extends readonly string[], const P extends string>(
  words: T,
  prefix: P,
  refused: Readonly<Record<string, string>> = {},
): z.ZodType<boolean | T[number] | `${P}${number}`, boolean | T[number] | `${P}${number}`> {
  const choices = [true, false, ...words]
  return withInfo(z.union([z.boolean(), z.enum(words), z.templateLiteral([prefix, z.int().min(0)])]), {
    syntax: 'choice',
    expects: `${oneOf(choices)}, or ${prefix}N`,
    placeholder: `${choices.join('|')}|${prefix}N`,
    choices,
    refused,
  })
}

/** Takes one or several, gives several. */
type List<S extends z.ZodType> = z.ZodType<z.output<S>[], z.input<S> | z.input<S>[]>

/** A list of texts; the library takes one text as a list of one. */
export function list(placeholder: string, expects: string): List<z.ZodString> {
  return withInfo(oneOrMore(z.string().min(1)), { syntax: 'list', expects, placeholder })
}

/** A list of texts that may need control characters: stop strings. */
export function texts(placeholder: string, expects: string): List<z.ZodString> {
  return withInfo(oneOrMore(z.string().min(1)), { syntax: 'texts', expects, placeholder })
}

export function integers(placeholder: string, expects: string): List<z.ZodInt> {
  return withInfo(oneOrMore(z.int().min(0)), { syntax: 'numbers', expects, placeholder })
}

export function numbers(placeholder: string, expects: string): List<z.ZodNumber> {
  return withInfo(oneOrMore(z.number()), { syntax: 'numbers', expects, placeholder })
}

/** How many, or which: `20`, or a list `0,1,5`. An empty list is left to the verb, which can say what it is for. */
export function countOrList(expects: string): z.ZodType<number | number[], number | number[]> {
  const schema = z.union([z.int().min(0), z.array(z.int().min(0))])
  return withInfo(schema, { syntax: 'count', expects, placeholder: 'N' })
}

/** Options of another verb by name; whoever runs that verb checks them. */
export function optionMap(expects: string): z.ZodRecord<z.ZodString, z.ZodUnknown> {
  return withInfo(z.record(z.string(), z.unknown()), { syntax: 'object', expects, placeholder: 'JSON' })
}

/** Several option maps. */
export function optionMaps(expects: string): z.ZodArray<z.ZodRecord<z.ZodString, z.ZodUnknown>> {
  return withInfo(z.array(z.record(z.string(), z.unknown())), { syntax: 'object', expects, placeholder: 'JSON' })
}

/** A list whose items the caller describes (adapters: `PATH` or `{ name, path, weight }`). */
export function listOf<S extends z.ZodType>(
  item: S,
  placeholder: string,
  expects: string,
  choices?: readonly string[],
): List<S> {
  return withInfo(oneOrMore(item), { syntax: 'list', expects, placeholder, ...(choices ? { choices } : {}) })
}

/** Module names, or one text: a keyword of `words`, or a regular expression in slashes (Python's, checked where it is used). */
export function pattern(...words: string[]): z.ZodType<string | string[], string | string[]> {
  const schema = z
    .union([
      z.string().min(1),
      // An empty list is none of them: what a run whose adapter has parameters alone writes of itself.
      z.array(
        z
          .string()
          .min(1)
          .refine((name) => !isSlashed(name)),
      ),
    ])
    .transform((value) => (typeof value === 'string' && !isSlashed(value) && !words.includes(value) ? [value] : value))
  const expects = `${[...words, 'a list of module names'].join(', ')}, or a regular expression in slashes`
  return withInfo(schema, { syntax: 'pattern', expects, placeholder: 'NAMES|/REGEX/' })
}

export function isSlashed(value: string): boolean {
  return value.length > 2 && value.startsWith('/') && value.endsWith('/')
}

function oneOrMore<S extends z.ZodType>(item: S): List<S> {
  return z.union([item, z.array(item).min(1)]).transform((value) => (Array.isArray(value) ? value : [value]))
}

function oneOf(choices: readonly (string | boolean)[]): string {
  return choices.length === 1 ? `${choices[0]}` : `one of ${choices.join(', ')}`
}
