/** @file What the rows are and what they cost, as a few lines for a terminal. Must not know how it was found out. */
import type { DataReport, RowPiece } from '../data/data-report.ts'
import { count, percent } from '../support/human.ts'
import type { Palette } from './terminal.ts'

/** Lines of the first row that are shown. */
const MAX_LINES = 16
const NAME_WIDTH = 10

export function dataLines(report: DataReport, palette: Palette, width: number): string[] {
  const { min, median, p95, max } = report.lengths
  const held = report.heldRows === undefined ? '' : `; ${count(report.heldRows)} more to evaluate on`
  const facts: [string, string][] = [
    [
      'rows',
      `${count(report.rows)} ${report.format} rows, ${count(report.tokens)} tokens, ` +
        `${count(report.labelled)} of them with loss (${percent(report.labelledShare)})${held}`,
    ],
    [
      'lengths',
      `${count(min)} to ${count(max)} tokens, median ${count(median)}, 95 % up to ${count(p95)}  ` +
        palette.flag(spark(report.histogram.map((bin) => bin.rows))),
    ],
    ['padding', paddingLine(report)],
  ]
  if (report.cut > 0)
    facts.push(['cut', `${count(report.cut)} rows (${percent(report.cutShare)}) to the maximal length`])
  const left = [
    ...(report.skipped > 0 ? [`${count(report.skipped)} bad rows`] : []),
    ...(report.unlabelled > 0 ? [`${count(report.unlabelled)} rows without loss`] : []),
  ]
  if (left.length > 0) facts.push(['left out', left.join(', ')])
  const { first } = report
  const shown = first.shown < first.tokens ? `, the first ${count(first.shown)} of ${count(first.tokens)} tokens` : ''
  facts.push(['first row', `${first.source}${shown}; ${markOf(palette)} carries loss`])
  const lines = facts.map(([name, value]) => `  ${palette.faint(name.padEnd(NAME_WIDTH))}${value}`)
  return [...lines, ...rowLines(first.pieces, palette, width)]
}

function paddingLine({ padding, batching, used }: DataReport): string {
  const parts = [
    `${percent(padding.random)} in random order`,
    `${percent(padding.bucketed)} with like lengths together${batching === 'bucketed' ? ' (this run)' : ''}`,
    `${percent(padding.packed)} packed${batching === 'packed' ? ' (this run)' : ''}`,
    ...(batching === 'file' ? [`${percent(used)} in the order of the file (this run)`] : []),
  ]
  return parts.join(', ')
}

/** Blocks as high as the counts. */
export function spark(counts: readonly number[]): string {
  const blocks = '▁▂▃▄▅▆▇█'
  const most = Math.max(1, ...counts)
  return counts.map((n) => (n === 0 ? ' ' : (blocks[Math.ceil((n / most) * 8) - 1] ?? ''))).join('')
}

function coloured(palette: Palette): boolean {
  return palette.good('x') !== 'x'
}

function markOf(palette: Palette): string {
  return coloured(palette) ? palette.good('what is green') : 'what stands in ⟦ ⟧'
}

/** The row, cut at its own line ends and at the terminal's; a mark is closed and opened again at every line. */
function rowLines(pieces: readonly RowPiece[], palette: Palette, width: number): string[] {
  const lines: RowPiece[][] = [[]]
  const room = width - NAME_WIDTH - 6
  let used = 0
  for (const { text, labelled } of pieces) {
    for (const part of printable(text).split(/(\n)/)) {
      if (part === '\n') {
        lines.push([])
        used = 0
        continue
      }
      const letters = [...part]
      while (letters.length > 0) {
        if (used >= room) {
          lines.push([])
          used = 0
        }
        const piece = letters.splice(0, room - used).join('')
        lines.at(-1)?.push({ text: piece, labelled })
        used += piece.length
      }
    }
  }
  const shown = lines.slice(0, MAX_LINES).map((line) => line.map((piece) => marked(piece, palette)).join(''))
  if (lines.length > MAX_LINES) shown.push(palette.faint(`… ${lines.length - MAX_LINES} more lines`))
  return shown.map((line) => `${' '.repeat(NAME_WIDTH + 2)}${line}`.trimEnd())
}

function marked({ text, labelled }: RowPiece, palette: Palette): string {
  if (!labelled) return text
  return coloured(palette) ? palette.good(text) : `⟦${text}⟧`
}

/** Data may hold control characters, which a terminal would obey. */
function printable(text: string): string {
  return text.replaceAll('\t', '  ').replace(/[^\P{Cc}\n]/gu, '\uFFFD')
}
