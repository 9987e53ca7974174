/**
 * @file Checks the options of a verb and fills in defaults; every complaint names the option as its user wrote it.
 * Must not know how the values were spelt (flags, YAML, a library call): callers say that in `Setting`.
 */
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { camel, kebab, optionFacts } from './option.ts'
import { recipeValues } from './recipes.ts'
import type { VerbName } from './summaries.ts'
import { type Conflict, isSet, type Source, type VerbSpec } from './verb.ts'
import { type InputOf, type OutputOf, verbs } from './verbs/index.ts'

/** One value that somebody gave. */
export interface Setting {
  value: unknown
  source: Exclude<Source, 'default'>
  /** As it was written: `--learning-rate`, `learning-rate`, `learningRate`. */
  label: string
  /** `run.yaml:3`, where it came from a file. */
  place?: string
}

/** By option name in camelCase. */
export type Settings = Readonly<Record<string, Setting>>

export interface Resolution<V extends VerbName> {
  /** Every option, defaults filled in. */
  values: OutputOf<V>
  /** Only what was given and counts: what a library call would hold. */
  given: InputOf<V>
}

/** How options that nobody gave are spelt in a complaint. */
type Face = 'flags' | 'call'

/** Words of a library call that are no options. */
const notOptions = new Set(['signal', 'onProgress'])

/**
 * Checks a library call and fills in defaults.
 * @throws {LowrankError} `usage`, naming the option, what it expects and the nearest name.
 */
export function resolveOptions<V extends VerbName>(verb: V, input: InputOf<V>): OutputOf<V> {
  const settings: Record<string, Setting> = {}
  for (const [name, value] of Object.entries(input))
    if (value !== undefined && !notOptions.has(name)) settings[name] = { value, source: 'flag', label: name }
  return resolveSettings(verb, settings, 'call').values
}

/** Checks settings from any source: values, then options that exclude, silence or need each other. */
export function resolveSettings<V extends VerbName>(verb: V, said: Settings, face: Face = 'flags'): Resolution<V> {
  const spec: VerbSpec = verbs[verb]
  const settings = withRecipe(spec, said)
  for (const [name, setting] of Object.entries(settings))
    if (!Object.hasOwn(spec.options, name)) throw unknownOption(spec, name, setting)
  let counting = dropExcluded(spec, settings, face)
  let values = parseValues(spec, counting, face)
  const dropped = droppedSilenced(spec, counting, values, face)
  if (dropped.size > 0) {
    counting = Object.fromEntries(Object.entries(counting).filter(([name]) => !dropped.has(name)))
    values = parseValues(spec, counting, face)
  }
  for (const rule of spec.rules) {
    const conflict = rule({ values, source: (name) => counting[name]?.source ?? 'default' })
    if (conflict !== undefined) throw conflictError(conflict, counting, face)
  }
  const own = Object.entries(counting).filter(([, { source }]) => source !== 'recipe')
  const given = Object.fromEntries(own.map(([name, { value }]) => [name, value]))
  // The one cast: the schema of this very verb has just accepted these values.
  return { values: values as OutputOf<V>, given: given as InputOf<V> }
}

/** Settings with what their recipe sets besides. */
function withRecipe({ options }: VerbSpec, settings: Settings): Settings {
  if (!Object.hasOwn(options, 'recipe')) return settings
  const given = Object.fromEntries(Object.entries(settings).map(([name, { value }]) => [name, value]))
  const set = Object.entries(recipeValues(given)).map(([name, value]): [string, Setting] => [
    name,
    { value, source: 'recipe', label: kebab(name) },
  ])
  return { ...Object.fromEntries(set), ...settings }
}

/** A word that the verb does not know: another verb's, or misspelt. `word` where the label says more. */
export function unknownOption(
  spec: VerbSpec,
  name: string,
  { label, place }: Omit<Setting, 'value' | 'source'>,
  word = label,
): LowrankError {
  const plain = camel(name.replace(/^no-/, ''))
  const details = { file: place, field: kebab(plain) }
  const like = (found: string): string =>
    word.startsWith('--') ? `--${kebab(found)}` : word.includes('-') ? kebab(found) : found
  const near = nearest(plain, Object.keys(spec.options))[0]
  const others = Object.values(verbs as Record<string, VerbSpec>).filter((other) => Object.hasOwn(other.options, plain))
  const elsewhere = others.length > 0 ? ` (it is one of ${others.map((other) => other.name).join(', ')})` : ''
  return new LowrankError('usage', `${label} is no option of ${spec.name}${elsewhere}`, {
    ...details,
    suggestion: near === undefined ? undefined : like(near),
  })
}

function parseValues(spec: VerbSpec, settings: Settings, face: Face): Record<string, unknown> {
  const raw = Object.fromEntries(Object.entries(settings).map(([name, { value }]) => [name, value]))
  const result = spec.schema.safeParse(raw)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw valueError(spec, String(issue?.path[0] ?? ''), settings[String(issue?.path[0])], face)
}

/** Zod's own words never reach a user: its issue only says which option is wrong. */
function valueError(spec: VerbSpec, name: string, setting: Setting | undefined, face: Face): LowrankError {
  const option = spec.options[name]
  if (option === undefined) throw new Error(`internal: the schema of ${spec.name} complains of "${name}"`)
  const facts = optionFacts(option)
  const details = { file: setting?.place, field: kebab(name) }
  if (setting === undefined)
    return new LowrankError('usage', `${spec.name} needs ${labelFor(name, face, spec)}: ${facts.expects}`, details)
  const { value, label } = setting
  if (typeof value === 'string' && facts.later?.includes(value)) {
    const message = `${label} ${value} comes in a later version of lowrank; this one has ${facts.choices?.join(', ')}`
    return new LowrankError('usage', message, details)
  }
  const reason = typeof value === 'string' ? facts.refused?.[value] : undefined
  if (reason !== undefined)
    return new LowrankError(
      'usage',
      `${label} ${value} is not supported: ${reason}; there is ${facts.expects}`,
      details,
    )
  const suggestion = nearestOf(value, facts.choices?.map(String) ?? [])
  return new LowrankError('usage', `${label} expects ${facts.expects}, got ${shown(value)}`, { ...details, suggestion })
}

/** For a word that is none of them, or the first such of a list. */
function nearestOf(value: unknown, words: readonly string[]): string | undefined {
  const given = typeof value === 'string' ? value.split(',') : Array.isArray(value) ? value : []
  const wrong = given.find((word) => typeof word === 'string' && !words.includes(word))
  return typeof wrong === 'string' ? nearest(wrong, words)[0] : undefined
}

/** Of options of which one at most can be meant, the loudest source counts; a tie is refused. */
function dropExcluded(spec: VerbSpec, settings: Settings, face: Face): Settings {
  const dropped = new Set<string>()
  for (const group of spec.exclusive) {
    const given = group.filter((name) => isSet(settings[name]?.value))
    const [first, second] = [...given].sort((a, b) => loudness(settings, b) - loudness(settings, a))
    if (first === undefined || second === undefined) continue
    if (loudness(settings, first) === loudness(settings, second))
      throw conflictError(
        { field: kebab(second), message: `{${first}} and {${second}} exclude each other: give one` },
        settings,
        face,
      )
    for (const name of given) if (name !== first) dropped.add(name)
  }
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !dropped.has(name)))
}

/** Options that another leaves nothing to say: dropped where the other is said louder, refused otherwise. */
function droppedSilenced(spec: VerbSpec, settings: Settings, values: Record<string, unknown>, face: Face): Set<string> {
  const dropped = new Set<string>()
  for (const { name, by } of spec.silenced(values)) {
    if (!isSet(settings[name]?.value)) continue
    if (loudness(settings, name) >= loudness(settings, by))
      throw conflictError(
        {
          field: kebab(name),
          message: `{${name}} has no meaning with {${by}} ${values[by]}${whose(settings, by)}: leave one out`,
        },
        settings,
        face,
      )
    dropped.add(name)
  }
  return dropped
}

/** Who gave an option that nobody named. */
function whose(settings: Settings, name: string): string {
  return settings[name]?.source === 'recipe' ? ', which {recipe} sets' : ''
}

const LOUDNESS: { readonly [S in Source]: number } = { default: 0, recipe: 1, file: 2, flag: 3 }

function loudness(settings: Settings, name: string): number {
  return LOUDNESS[settings[name]?.source ?? 'default']
}

function conflictError(conflict: Conflict, settings: Settings, face: Face): LowrankError {
  const message = conflict.message.replace(
    /\{(\w+)\}/g,
    (_, name: string) => settings[name]?.label ?? labelFor(name, face),
  )
  const place = settings[camel(conflict.field)]?.place
  return new LowrankError('usage', message, { field: conflict.field, file: place })
}

function labelFor(name: string, face: Face, spec?: VerbSpec): string {
  if (face === 'flags' && spec?.positional === name) return name.toUpperCase()
  return face === 'flags' ? `--${kebab(name)}` : name
}

/** A value as an error shows it: short. */
function shown(value: unknown): string {
  // JSON has no word for what 1e400 is.
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}
