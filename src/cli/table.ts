/** @file Rows as aligned columns of text. Must not know what they say. */
import type { Palette } from './terminal.ts'

/** The first row is the heading; the first column is left-aligned, the others right-aligned. */
export function table(rows: readonly (readonly string[])[], palette: Palette): string[] {
  const columns = Math.max(...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, c) => Math.max(...rows.map((row) => (row[c] ?? '').length)))
  return rows.map((row, r) => {
    const cells = row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c] ?? 0) : cell.padStart(widths[c] ?? 0)))
    const line = `  ${cells.join('  ')}`.trimEnd()
    return r === 0 ? palette.faint(line) : line
  })
}
