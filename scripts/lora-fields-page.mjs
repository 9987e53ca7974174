// Writes docs/lora-fields.md from the table of LoraConfig's fields (after `npm run build`). A test compares the two.
import { writeFileSync } from 'node:fs'
import { loraFieldsPage } from '../dist/peft/lora-fields-page.js'

writeFileSync(new URL('../docs/lora-fields.md', import.meta.url), loraFieldsPage())
