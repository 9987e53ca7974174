/**
 * @file Help pages as text, from the same tables as everything else. Must not know a terminal: the width is given.
 */
import { commonFlags } from './flags.ts'
import { kebab, type Option, type OptionFacts, optionFacts } from './option.ts'
import type { VerbSpec } from './verb.ts'

/** How parts are set off; a terminal passes colours. */
export interface Style {
  heading(text: string): string
  flag(text: string): string
  faint(text: string): string
}

const plain: Style = { heading: (text) => text, flag: (text) => text, faint: (text) => text }

/** The page of `lowrank VERB --help`. */
export function verbHelp(spec: VerbSpec, width = 100, style: Style = plain): string {
  const positional = spec.positional === undefined ? undefined : spec.options[spec.positional]
  const word = positional === undefined ? '' : ` ${bracketed(spec.positional ?? '', positional)}`
  const lines = [spec.summary, '', style.heading('Usage'), `  lowrank ${spec.name}${word} [options]`]
  lines.push('', style.heading('Examples'))
  for (const { command, does } of spec.examples) lines.push(`  ${style.flag(command)}`, `      ${style.faint(does)}`)
  for (const [group, options] of groupsOf(Object.entries(spec.options))) {
    lines.push('', style.heading(group))
    for (const [name, option] of options) lines.push(...optionLines(name, option, spec, width, style))
  }
  lines.push('', style.heading('Always'))
  for (const { name, placeholder, description } of commonFlags)
    lines.push(...entry(`--${name}${placeholder === '' ? '' : ` ${placeholder}`}`, description, width, style))
  if (spec.notes !== undefined) lines.push('', ...wrap(spec.notes, width))
  return `${lines.join('\n')}\n`
}

/** `--flag PLACEHOLDER` as help and docs show it. */
export function flagText(name: string, facts: OptionFacts): string {
  const flag = kebab(name)
  if (facts.syntax === 'boolean') return facts.default === true ? `--[no-]${flag}` : `--${flag}`
  return `--${flag} ${facts.placeholder}`
}

/** The default in words: a value, what no value means, or undefined. */
export function defaultText(option: Option, facts: OptionFacts): string | undefined {
  if (option.defaultText !== undefined) return option.defaultText
  if (facts.required) return 'required'
  if (facts.default === undefined) return undefined
  if (facts.syntax === 'boolean') return facts.default === true ? 'on' : 'off'
  return String(facts.default)
}

function optionLines(name: string, option: Option, spec: VerbSpec, width: number, style: Style): string[] {
  const facts = optionFacts(option)
  const said = defaultText(option, facts)
  const left = spec.positional === name ? bracketed(name, option) : flagText(name, facts)
  const unit = option.unit === undefined ? '' : ` ${option.unit}`
  const tail = said === undefined || said === 'off' ? '' : `${said}${unit}`
  return entry(left, `${option.description}${tail === '' ? '' : ` [${tail}]`}`, width, style)
}

function bracketed(name: string, option: Option): string {
  const word = name.toUpperCase()
  return optionFacts(option).required ? word : `[${word}]`
}

const COLUMN = 34

function entry(left: string, right: string, width: number, style: Style): string[] {
  const text = wrap(right.replaceAll('`', ''), Math.max(30, width - COLUMN))
  const indent = ' '.repeat(COLUMN)
  const [first, ...rest] = text
  const head = `  ${left}`
  const start =
    head.length < COLUMN - 1
      ? [`${style.flag(head.padEnd(COLUMN))}${first ?? ''}`]
      : [style.flag(head), `${indent}${first ?? ''}`]
  return [...start, ...rest.map((line) => indent + line)]
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** Entries by group, in the order in which the groups first appear. */
export function groupsOf(options: readonly [string, Option][]): Map<string, [string, Option][]> {
  const groups = new Map<string, [string, Option][]>()
  for (const item of options) {
    const members = groups.get(item[1].group)
    if (members === undefined) groups.set(item[1].group, [item])
    else members.push(item)
  }
  return groups
}
