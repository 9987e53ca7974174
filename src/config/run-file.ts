/**
 * @file Reads and writes run files: YAML (or JSON, its subset) with the words of the flags, kebab-case or camelCase.
 * Must not check values; `resolve.ts` does.
 */
import { isMap, isScalar, LineCounter, parseDocument, type YAMLError, type YAMLMap } from 'yaml'
import { LowrankError } from '../support/errors.ts'
import { readBounded } from '../support/files.ts'
import { fromValue } from './coerce.ts'
import { plainWithPlaces } from './nested.ts'
import { camel, kebab, optionFacts } from './option.ts'
import { type Setting, type Settings, unknownOption } from './resolve.ts'
import type { VerbSpec } from './verb.ts'

/** A run file is a page of text; this bounds what a wrong path can make us read. */
const MAX_BYTES = 1 << 20

/** Reads a run file for a verb. @throws {LowrankError} naming file and line. */
export async function readRunFile(spec: VerbSpec, file: string): Promise<Settings> {
  return parseRunFile(spec, new TextDecoder().decode(await readBounded(file, MAX_BYTES)), file)
}

/** The settings of a run file's text, each knowing its line. */
export function parseRunFile(spec: VerbSpec, text: string, file: string): Settings {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const place = (offset: number | undefined): string => `${file}:${lines.linePos(offset ?? 0).line}`
  const fault = document.errors[0]
  if (fault !== undefined) throw yamlError(fault, place(fault.pos[0]), file)
  const top: unknown = document.contents
  if (top === null) return {}
  if (!isMap(top)) {
    const message = `${file} must hold options, one a line, as "rank: 8"`
    throw new LowrankError('usage', message, { file: place(0) })
  }
  const plain = (node: unknown): unknown => toPlain(node, document, file)
  return readMap(spec, top, place, plain)
}

function readMap(
  spec: VerbSpec,
  top: YAMLMap<unknown, unknown>,
  place: (offset: number | undefined) => string,
  plain: (node: unknown) => unknown,
): Settings {
  const settings: Record<string, Setting> = {}
  for (const { key, value } of top.items) {
    const label = String(isScalar(key) ? key.value : key)
    const where = place(isScalar(key) ? key.range?.[0] : undefined)
    const name = camel(label)
    const option = Object.hasOwn(spec.options, name) ? spec.options[name] : undefined
    if (option === undefined) throw unknownOption(spec, name, { label, place: where })
    if (settings[name] !== undefined) {
      const message = `${label} is given twice (also as ${settings[name].label})`
      throw new LowrankError('usage', message, { file: where, field: kebab(name) })
    }
    const facts = optionFacts(option)
    const read = facts.syntax === 'object' ? plainWithPlaces(value, plain, place) : fromValue(facts, plain(value))
    settings[name] = { value: read, source: 'file', label, place: where }
  }
  return settings
}

/** Resolves aliases, in bounds. */
function toPlain(node: unknown, document: ReturnType<typeof parseDocument>, file: string): unknown {
  if (node === null || typeof node !== 'object' || !('toJS' in node) || typeof node.toJS !== 'function') return node
  try {
    return node.toJS(document, { maxAliasCount: 100 })
  } catch (cause) {
    throw new LowrankError('usage', `${file} repeats aliases without end`, { file, cause })
  }
}

function yamlError(fault: YAMLError, place: string, file: string): LowrankError {
  const said = fault.code === 'DUPLICATE_KEY' ? 'an option is given twice' : lowerFirst(fault.message)
  return new LowrankError('usage', `${file} is not valid YAML: ${said}`, { file: place })
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

/**
 * Writes effective values as a run file that `--config` reads back to the same values: grouped, kebab-case, options
 * that have no value or that another option silences left out.
 */
export function formatRunFile(spec: VerbSpec, values: Readonly<Record<string, unknown>>, title?: string): string {
  const silenced = new Set(spec.silenced(values).map(({ name }) => name))
  const lines = title === undefined ? [] : title.split('\n').map((line) => `# ${line}`)
  let group = ''
  for (const [name, option] of Object.entries(spec.options)) {
    const value = values[name]
    if (value === undefined || silenced.has(name)) continue
    if (option.group !== group) lines.push(...(lines.length > 0 ? [''] : []), `# ${option.group}`)
    group = option.group
    lines.push(`${kebab(name)}: ${formatValue(value)}`)
  }
  return `${lines.join('\n')}\n`
}

/** Plain words as they are; whatever YAML 1.1 or 1.2 could take for something else in quotes. */
function formatValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatValue).join(', ')}]`
  if (typeof value !== 'string') return JSON.stringify(value)
  const special = /^(true|false|null|yes|no|on|off|y|n)$/i.test(value)
  return /^[A-Za-z][\w./-]*$/.test(value) && !special ? value : JSON.stringify(value)
}
