/** @file Which files of rows a model is asked about, where a folder has several. Must not know rows. */
import { dataFiles } from '../data/data-files.ts'

/** A file as it is; of a folder the rows kept furthest from training: test, else valid, else train. */
export async function evaluationFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for (const path of paths) {
    const { test, valid, train } = await dataFiles([path])
    files.push(...([test, valid, train].find((part) => part.length > 0) ?? []))
  }
  return files
}
