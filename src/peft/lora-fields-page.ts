/** @file The Markdown page of LoraConfig's fields (docs/lora-fields.md). Must not say anything that the table does not. */
import { REFUSED_INITS } from '../formats/lora-init.ts'
import { type FieldStatus, LORA_FIELDS, UNSAVED_FIELDS } from '../formats/peft-fields.ts'

const SECTIONS: readonly [status: FieldStatus, title: string, text: string][] = [
  ['honoured', 'Honoured', 'These change what is trained, computed or saved, as they do in PEFT.'],
  ['refused', 'Refused', 'An error that names the field and its value, unless it has its default. Never ignored.'],
  ['ignored', 'Carried', 'Read and written, with no effect here.'],
]

/** The whole page; scripts/lora-fields-page.mjs writes it and a test compares. */
export function loraFieldsPage(): string {
  const lines = [
    "# Fields of PEFT's LoraConfig",
    '',
    '<!-- Made by scripts/lora-fields-page.mjs from src/formats/peft-fields.ts. Do not edit. -->',
    '',
    'What lowrank does with each field of an `adapter_config.json` or a `--lora-config` file.',
    `Of \`init_lora_weights\` ${Object.keys(REFUSED_INITS)
      .map((name) => `"${name}"`)
      .join(', ')} are refused by name: ${Object.values(REFUSED_INITS).join('; ')}.`,
    'A key that LoraConfig does not have is dropped with one warning, as PEFT does.',
    '[What lowrank does otherwise than PEFT](peft-differences.md) is a page of its own.',
  ]
  for (const [status, title, text] of SECTIONS) {
    lines.push('', `## ${title}`, '', text, '', '| field | default | |', '|---|---|---|')
    for (const [name, field] of Object.entries(LORA_FIELDS))
      if (field.status === status) lines.push(`| \`${name}\` | \`${JSON.stringify(field.default)}\` | ${field.why} |`)
  }
  for (const [name, why] of Object.entries(UNSAVED_FIELDS)) lines.push(`| \`${name}\` | | ${why} |`)
  return `${lines.join('\n')}\n`
}
