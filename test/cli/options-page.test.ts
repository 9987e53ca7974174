import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { optionsPage } from '../../src/config/options-page.ts'
import { verbs } from '../../src/config/verbs/index.ts'

it('docs/options.md is what the option tables say (node scripts/options-page.mjs writes it)', () => {
  const page = readFileSync(new URL('../../docs/options.md', import.meta.url), 'utf8')
  expect(page).toBe(optionsPage(Object.values(verbs)))
})
