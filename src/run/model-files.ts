/** @file The small files that stand beside a model's weights and go with it wherever it is written. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { COMPANION_FILES } from '../formats/model-files.ts'
import { fileError, pathKind } from '../support/files.ts'

/** Copies those that are there. @throws LowrankError `io` */
export async function copySmallFiles(from: string, to: string): Promise<void> {
  for (const name of COMPANION_FILES) {
    const source = join(from, name)
    if ((await pathKind(source)) !== 'file') continue
    try {
      await copyFile(source, join(to, name))
    } catch (error) {
      throw fileError(error, join(to, name), 'write')
    }
  }
}
