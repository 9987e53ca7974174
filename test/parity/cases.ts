/** @file The conformance cases: our own goldens, and those that lie beside the repository where they do. */
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sharedPath } from '../setup/shared.ts'

export const ENCODERS = /^(bert.*|roberta.*|xlm-roberta.*|distilbert.*|electra.*|deberta-v2.*|modernbert.*)$/
export const DECODERS = /^(llama.*|mistral.*|qwen\d.*|gemma.*|phi3.*|gpt2|gpt-neox.*|opt.*)$/

/** Folders of cases whose name matches: those of scripts/goldens/models.py, then `LOWRANK_CASES` or the shared ones. */
export function casesNamed(pattern: RegExp): { name: string; folder: string }[] {
  const committed = fileURLToPath(new URL('../goldens/models', import.meta.url))
  const beside = process.env.LOWRANK_CASES ?? sharedPath('conformance', 'cases')
  return [committed, ...(beside ? [beside] : [])].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => pattern.test(name))
      .map((name) => ({ name: `${name} of ${basename(folder)}`, folder: join(folder, name) })),
  )
}
