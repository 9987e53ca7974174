/** @file An output that holds something is not touched unless it may be replaced. Must not know verbs. */
import { readdir } from 'node:fs/promises'
import { LowrankError } from '../support/errors.ts'
import { fileError, pathKind } from '../support/files.ts'

/** @throws LowrankError `usage` for a folder that is not empty, unless it may be overwritten, and for a file in its place. */
export async function refuseOccupied(output: string, overwrite: boolean): Promise<void> {
  const kind = await pathKind(output)
  if (kind === undefined) return
  if (kind === 'file')
    throw new LowrankError('usage', `${output} is a file, not a folder`, { file: output, field: 'output' })
  if (overwrite) return
  const names = await readdir(output).catch((error: unknown) => {
    throw fileError(error, output, 'read')
  })
  if (names.length === 0) return
  throw new LowrankError('usage', `the output folder ${output} is not empty`, {
    file: output,
    field: 'output',
    suggestion: 'name another one, or give --overwrite',
  })
}
