/**
 * @file The one place that touches the terminal: results on stdout, everything people watch on stderr.
 * Must not know verbs or events.
 */
import type { Style } from '../config/help.ts'

export interface Terminal {
  /** True where stderr is a terminal and a moving line makes sense. */
  readonly live: boolean
  /** True where stdin is a terminal. */
  readonly interactive: boolean
  readonly width: number
  /** Colours of stdout and of stderr. */
  readonly out: Palette
  readonly err: Palette
  /** A result: text to stdout, as it is. */
  write(text: string): void
  /** A line to stderr. */
  say(line: string): void
  /**
   * Redraws what moves at the end of stderr, a line or several; an empty text removes it. Does nothing where stderr is no
   * terminal.
   */
  status(line: string): void
}

export interface Palette extends Style {
  good(text: string): string
  warn(text: string): string
  bad(text: string): string
  strong(text: string): string
}

/** Longest line written to something that is no terminal. */
const PLAIN_WIDTH = 100

export function openTerminal(): Terminal {
  const { stdin, stdout, stderr } = process
  for (const stream of [stdout, stderr]) stream.on('error', leaveOnClosedPipe)
  const live = stderr.isTTY === true && process.env.TERM !== 'dumb'
  /** Lines that are drawn and may be drawn again. */
  let drawn = 0
  const clear = (): void => {
    if (drawn > 0) stderr.write(`\r\x1b[2K${'\x1b[1A\x1b[2K'.repeat(drawn - 1)}`)
    drawn = 0
  }
  return {
    live,
    interactive: stdin.isTTY === true,
    get width() {
      return Math.max(60, Math.min(stderr.columns ?? stdout.columns ?? PLAIN_WIDTH, 120))
    },
    out: palette(stdout.isTTY === true && coloursWanted()),
    err: palette(stderr.isTTY === true && coloursWanted()),
    write(text) {
      clear()
      stdout.write(text)
    },
    say(line) {
      clear()
      stderr.write(`${line}\n`)
    },
    status(line) {
      if (!live) return
      clear()
      if (line !== '') stderr.write(line)
      drawn = line === '' ? 0 : line.split('\n').length
    },
  }
}

/** https://no-color.org: any value but the empty one switches colours off. */
function coloursWanted(): boolean {
  const { NO_COLOR, TERM } = process.env
  return (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb'
}

function palette(on: boolean): Palette {
  const paint = (code: number) => (text: string) => (on ? `\x1b[${code}m${text}\x1b[0m` : text)
  return {
    heading: paint(1),
    strong: paint(1),
    flag: paint(36),
    faint: paint(2),
    good: paint(32),
    warn: paint(33),
    bad: paint(31),
  }
}

/** `lowrank … | head` closes the pipe early: that is no failure of ours. */
function leaveOnClosedPipe(this: NodeJS.WriteStream, error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  // Whoever listens besides has something to save first.
  if (this.listenerCount('error') === 1) process.exit(0)
}
