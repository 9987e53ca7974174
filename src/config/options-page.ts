/** @file The Markdown page of every verb's options (docs/options.md). Must not say anything that the tables do not. */
import { commonFlags } from './flags.ts'
import { defaultText, flagText, groupsOf } from './help.ts'
import { type Option, optionFacts } from './option.ts'
import type { VerbSpec } from './verb.ts'

/** The whole page; scripts/options-page.mjs writes it and a test compares. */
export function optionsPage(specs: readonly VerbSpec[]): string {
  const intro = [
    '# Options',
    '',
    '<!-- Made by scripts/options-page.mjs from src/config. Do not edit. -->',
    '',
    'Every flag is also a word of `--config run.yaml`, in kebab-case or camelCase; a flag wins over the file. Lists are',
    'comma-separated or the flag repeated (`\\,` is a comma). Booleans are `--x` and `--no-x`.',
    'Every verb has these besides its own:',
    '',
    ...commonFlags.map(
      ({ name, placeholder, description }) =>
        `- \`--${name}${placeholder === '' ? '' : ` ${placeholder}`}\` ${description}`,
    ),
  ]
  return `${[...intro, ...specs.flatMap(verbSection)].join('\n')}\n`
}

function verbSection(spec: VerbSpec): string[] {
  const lines = ['', `## ${spec.name}`, '', spec.summary]
  if (spec.notes !== undefined) lines.push('', spec.notes)
  lines.push('', '```sh', ...spec.examples.flatMap(({ command, does }) => [`# ${does}`, command]), '```')
  for (const [group, options] of groupsOf(Object.entries(spec.options))) {
    lines.push('', `**${group}**`, '', '| flag | default | |', '|---|---|---|')
    for (const [name, option] of options) lines.push(row(name, option, spec))
  }
  return lines
}

function row(name: string, option: Option, spec: VerbSpec): string {
  const facts = optionFacts(option)
  const flag = spec.positional === name ? name.toUpperCase() : flagText(name, facts)
  const unit = option.unit === undefined ? '' : ` (${option.unit})`
  const said = defaultText(option, facts) ?? ''
  // A path with <…> in it would be taken for HTML.
  const cells = [`\`${flag}\``, said.includes('<') ? `\`${said}\`` : said, `${option.description}${unit}`]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}
