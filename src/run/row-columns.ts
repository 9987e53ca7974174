/** @file `--columns text=sentence`: which column holds which field of rows. Must not know rows. */
import { LowrankError } from '../support/errors.ts'

/** Columns by field; undefined where none is named. @throws LowrankError `usage` for a field that is named twice */
export function rowColumnNames(pairs: readonly string[] | undefined): Record<string, string> | undefined {
  if (pairs === undefined) return undefined
  const columns = new Map<string, string>()
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    const field = pair.slice(0, at)
    if (columns.has(field)) throw new LowrankError('usage', `columns names ${field} twice`, { field: 'columns' })
    columns.set(field, pair.slice(at + 1))
  }
  return Object.fromEntries(columns)
}
