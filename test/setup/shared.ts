/** @file Finds the material that lies beside the repository (models, conformance cases); tests skip where it is absent. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const root = process.env.LOWRANK_SHARED ?? resolve(repository, '../shared')

/** Absolute path of a file or folder of the shared material, or undefined where it is not there. */
export function sharedPath(...parts: string[]): string | undefined {
  const path = join(root, ...parts)
  return existsSync(path) ? path : undefined
}
