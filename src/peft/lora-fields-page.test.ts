import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { LORA_FIELDS } from '../formats/peft-fields.ts'
import { loraFieldsPage } from './lora-fields-page.ts'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
/** scripts/goldens/peft_fields.py */
const peft: { fields: string[]; saved: Record<string, unknown> } = JSON.parse(read('test/goldens/peft/fields.json'))

it('docs/lora-fields.md says what the table says, of every field that PEFT has', () => {
  const page = read('docs/lora-fields.md')
  expect(page).toBe(loraFieldsPage())
  expect(peft.fields.length).toBe(42)
  for (const name of peft.fields) expect(page.split(`| \`${name}\` |`).length, name).toBe(2)
})

it('the table has the fields that PEFT saves, each with its default', () => {
  const defaults = Object.entries(LORA_FIELDS).map(([name, field]) => [name, field.default])
  const { peft_version: _, ...saved } = peft.saved
  expect(Object.fromEntries(defaults)).toEqual({ ...saved, peft_version: null })
})

it('a refused field says why', () => {
  for (const [name, { status, why }] of Object.entries(LORA_FIELDS))
    if (status === 'refused') expect(why, name).not.toMatch(/not supported|later/)
})
