import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { LORA_FIELDS } from '../formats/peft-fields.ts'
import { loraFieldsPage } from './lora-fields-page.ts'

it('docs/lora-fields.md says what the table says, of every field', () => {
  const page = readFileSync(new URL('../../docs/lora-fields.md', import.meta.url), 'utf8')
  expect(page).toBe(loraFieldsPage())
  for (const name of Object.keys(LORA_FIELDS)) expect(page.split(`| \`${name}\` |`).length).toBe(2)
})
