/**
 * @file Reads a command line: `--x value`, `--x=value`, `--x`, `--no-x`, bare words where a verb has a place for them.
 * Must not check values; `resolve.ts` does.
 */
import { LowrankError } from '../support/errors.ts'
import { fromTexts } from './coerce.ts'
import { camel, kebab, type OptionFacts, optionFacts } from './option.ts'
import { type Setting, type Settings, unknownOption } from './resolve.ts'
import type { VerbSpec } from './verb.ts'

export interface CommandLine {
  settings: Settings
  help: boolean
  json: boolean
  /** Run file named by `--config`. */
  config: string | undefined
}

/** Flags that every verb has. */
export const commonFlags = [
  { name: 'config', placeholder: 'FILE', description: 'Read options from a YAML file; a flag wins over it.' },
  { name: 'json', placeholder: '', description: 'Print JSON on stdout: events a line each, the result last.' },
  { name: 'help', placeholder: '', description: 'Show this page.' },
] as const

interface Token {
  /** Option name in camelCase. */
  name: string
  label: string
  texts: string[]
}

/** @throws {LowrankError} `usage`: an unknown flag, a flag without its value, a word too many. */
export function parseFlags(spec: VerbSpec, argv: readonly string[]): CommandLine {
  const found = new Map<string, Token>()
  const line = { help: false, json: false, config: undefined as string | undefined }
  const words = [...argv]
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '-h' || word === '--help') line.help = true
    else if (word === '--json') line.json = true
    else if (word === '--config' || word.startsWith('--config=')) line.config = configPath(word, words)
    else if (word.startsWith('--') && word !== '--') readFlag(spec, word, words, found)
    else readWord(spec, word, found)
  }
  // `--help` beside anything wrong still helps: what is wrong is found when the values are resolved.
  return { ...line, settings: toSettings(spec, found) }
}

function configPath(word: string, words: string[]): string {
  const path = word.includes('=') ? word.slice(word.indexOf('=') + 1) : words.shift()
  if (path === undefined || path === '' || path.startsWith('--'))
    throw new LowrankError('usage', '--config expects a YAML file', { field: 'config' })
  return path
}

function readFlag(spec: VerbSpec, word: string, words: string[], found: Map<string, Token>): void {
  const equals = word.indexOf('=')
  const label = equals < 0 ? word : word.slice(0, equals)
  const flag = matchFlag(spec, label)
  if (flag === undefined) throw unknownOption(spec, label.slice(2), { label })
  const attached = equals < 0 ? undefined : word.slice(equals + 1)
  const value = flag.negated ? negated(flag.facts, label, attached) : flagValue(flag.facts, label, attached, words)
  const token = found.get(flag.name)
  const repeatable = ['list', 'texts', 'numbers', 'pattern'].includes(flag.facts.syntax)
  if (token !== undefined && !repeatable)
    throw new LowrankError('usage', `${label} is given twice`, { field: kebab(flag.name) })
  if (token === undefined) found.set(flag.name, { name: flag.name, label, texts: [value] })
  else token.texts.push(value)
}

/** Finds the option of `--some-name` (also `--someName`), and of `--no-some-name` where it can be switched off. */
function matchFlag(spec: VerbSpec, label: string): { name: string; facts: OptionFacts; negated: boolean } | undefined {
  const plain = label.slice(2)
  for (const negated of [false, true]) {
    if (negated && !plain.startsWith('no-')) continue
    const name = camel(negated ? plain.slice(3) : plain)
    const option = Object.hasOwn(spec.options, name) ? spec.options[name] : undefined
    if (option === undefined) continue
    const facts = optionFacts(option)
    if (!negated || facts.syntax === 'boolean' || facts.syntax === 'switch') return { name, facts, negated }
  }
  return undefined
}

function negated(facts: OptionFacts, label: string, attached: string | undefined): string {
  if (attached !== undefined)
    throw new LowrankError('usage', `${label} takes no value`, { field: label.slice(2).replace(/^no-/, '') })
  return facts.syntax === 'switch' ? String(facts.choices?.[1]) : 'false'
}

function flagValue(facts: OptionFacts, label: string, attached: string | undefined, words: string[]): string {
  if (attached !== undefined) return attached
  const next = words[0]
  if (facts.syntax === 'boolean') {
    // `--packing false` is meant as it reads; any other word after a boolean is not its value.
    return next === 'true' || next === 'false' ? (words.shift() ?? next) : 'true'
  }
  const isChoice = next !== undefined && (facts.choices?.includes(next) ?? false)
  if (facts.syntax === 'switch' && !isChoice) return String(facts.choices?.[0])
  if (next === undefined || /^--[a-z]/i.test(next)) {
    const hint =
      next === undefined || facts.syntax !== 'text' ? undefined : `write ${label}=${next} if that is the text`
    const got = next === undefined ? 'nothing' : next
    throw new LowrankError('usage', `${label} expects ${facts.expects}, got ${got}`, {
      field: label.slice(2),
      suggestion: hint,
    })
  }
  return words.shift() ?? next
}

function readWord(spec: VerbSpec, word: string, found: Map<string, Token>): void {
  const name = spec.positional
  const token = name === undefined ? undefined : found.get(name)
  const option = name === undefined ? undefined : spec.options[name]
  // A list takes every bare word: `diff A B`.
  if (token && option && optionFacts(option).syntax === 'list') return void token.texts.push(word)
  if (name === undefined || token) {
    const hint = word.startsWith('-')
      ? undefined
      : `options of ${spec.name} start with --; see lowrank ${spec.name} --help`
    throw new LowrankError('usage', `${spec.name} has no use for "${word}"`, { suggestion: hint })
  }
  found.set(name, { name, label: name.toUpperCase(), texts: [word] })
}

function toSettings(spec: VerbSpec, found: Map<string, Token>): Settings {
  const settings: Record<string, Setting> = {}
  for (const { name, label, texts } of found.values()) {
    const option = spec.options[name]
    if (option === undefined) continue
    settings[name] = { value: fromTexts(optionFacts(option), texts), source: 'flag', label }
  }
  return settings
}
