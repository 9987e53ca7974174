// Writes docs/options.md from the option tables (after `npm run build`). A test compares the page with the tables.
import { writeFileSync } from 'node:fs'
import { optionsPage } from '../dist/config/options-page.js'
import { verbs } from '../dist/config/verbs/index.js'

writeFileSync(new URL('../docs/options.md', import.meta.url), optionsPage(Object.values(verbs)))
