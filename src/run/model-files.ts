/** @file The small files that stand beside a model's weights and go with it wherever it is written. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError, pathKind } from '../support/files.ts'

/** What makes a tokenizer, and how its authors mean the model to be sampled. */
const SMALL_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'vocab.txt',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'generation_config.json',
]

/** Copies those that are there. @throws LowrankError `io` */
export async function copySmallFiles(from: string, to: string): Promise<void> {
  for (const name of SMALL_FILES) {
    const source = join(from, name)
    if ((await pathKind(source)) !== 'file') continue
    try {
      await copyFile(source, join(to, name))
    } catch (error) {
      throw fileError(error, join(to, name), 'write')
    }
  }
}
