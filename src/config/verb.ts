/**
 * @file What a verb is: its options, their combined schema, and which of them exclude or need each other.
 * Must not know how a verb is run.
 */
import { z } from 'zod'
import { kebab, type OptionTable, type Shape } from './option.ts'
import { summaries, type VerbName } from './summaries.ts'

export interface Example {
  command: string
  /** What it does, said in a few words. */
  does: string
}

/** Where a value came from; a later one wins over an earlier one. */
export type Source = 'default' | 'recipe' | 'file' | 'flag'

export interface Conflict {
  field: string
  /** `{rank}` is replaced by the option as the user wrote it: `--rank` or `rank`. */
  message: string
}

/** `name` has no meaning at the present value of `by`. */
export interface Silenced {
  name: string
  by: string
}

/** What rules look at: checked values, and where each came from. */
export interface Resolved {
  values: Readonly<Record<string, unknown>>
  source(name: string): Source
}

export interface VerbSpec<T extends OptionTable = OptionTable> {
  name: VerbName
  summary: string
  options: T
  schema: z.ZodObject<Shape<T>>
  examples: readonly Example[]
  /** The option that a bare word sets: `inspect PATH`. */
  positional?: string
  /** Options of which one at most can be meant. */
  exclusive: readonly (readonly string[])[]
  rules: readonly ((resolved: Resolved) => Conflict | undefined)[]
  /** Options that another option leaves nothing to say. */
  silenced: (values: Readonly<Record<string, unknown>>) => readonly Silenced[]
  /** What the verb writes to stdout, and what it does not do; a paragraph for help. */
  notes?: string
}

interface VerbDetails {
  examples: readonly Example[]
  positional?: string
  exclusive?: readonly (readonly string[])[]
  rules?: readonly ((resolved: Resolved) => Conflict | undefined)[]
  silenced?: (values: Readonly<Record<string, unknown>>) => readonly Silenced[]
  notes?: string
}

export function verb<const T extends OptionTable>(name: VerbName, options: T, details: VerbDetails): VerbSpec<T> {
  const schema = z.object(describedShape(options))
  return { name, summary: summaries[name], options, schema, exclusive: [], rules: [], silenced: () => [], ...details }
}

/** The schemas of a table by name, each with its description for JSON Schema. */
function describedShape<T extends OptionTable>(options: T): Shape<T> {
  const shape: Record<string, z.ZodType> = {}
  for (const [name, { schema, description }] of Object.entries(options)) shape[name] = schema.describe(description)
  return shape as Shape<T>
}

/** A rule: at least one of `names` must be given. */
export function needs(names: readonly string[], message: string): (resolved: Resolved) => Conflict | undefined {
  const field = names[0] ?? ''
  return ({ values }) => (names.some((name) => isSet(values[name])) ? undefined : { field: kebab(field), message })
}

/** Given and not switched off. */
export function isSet(value: unknown): boolean {
  return value !== undefined && value !== false
}
