/** @file A terminal of memory, for what moves on a terminal: what stays on it, and every state of the moving lines. */
import type { Palette, Terminal } from '../../src/cli/terminal.ts'

const same = (text: string): string => text
export const plain: Palette = {
  heading: same,
  flag: same,
  faint: same,
  good: same,
  warn: same,
  bad: same,
  strong: same,
}

export function recorder(width = 100) {
  const said: string[] = []
  const bars: string[] = []
  const terminal: Terminal = {
    ...{ live: true, interactive: false, width, out: plain, err: plain },
    write: (text) => void said.push(text),
    say: (line) => void said.push(line),
    status: (line) => void bars.push(line),
  }
  return { terminal, said, bars }
}
