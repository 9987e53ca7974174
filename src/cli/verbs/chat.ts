/**
 * @file `lowrank chat`: a line is a turn, answers stream; at a terminal and with piped input.
 * Must not know templates or sampling.
 */
import { createInterface, type Interface } from 'node:readline'
import type { ChatOptions } from '../../config/verbs/index.ts'
import { openChat } from '../../run/chat.ts'
import type { ChatSession } from '../../run/types.ts'
import { isLowrankError } from '../../support/errors.ts'
import { drive, type Face } from '../face.ts'
import { followProgress } from '../progress.ts'

const help = '/clear starts anew, /exit or Ctrl-D ends, a line that ends with \\ goes on in the next'

export async function chatFace(options: ChatOptions, face: Face): Promise<number | undefined> {
  const { terminal } = face
  const progress = followProgress(terminal)
  const session = await openChat({ ...options, signal: face.signal, onProgress: face.json ? face.emit : progress.show })
  progress.end()
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: terminal.interactive && terminal.live,
  })
  try {
    if (terminal.interactive) terminal.say(terminal.err.faint(help))
    await converse(session, lines, face)
  } finally {
    lines.close()
    await session.dispose()
  }
  return undefined
}

async function converse(session: ChatSession, lines: Interface, face: Face): Promise<void> {
  const { terminal } = face
  const ask = (): void => {
    if (!terminal.interactive) return
    lines.setPrompt(terminal.err.strong('> '))
    lines.prompt()
  }
  // Ctrl-C stops the answer that is being given; where none is, it ends the chat.
  let answering: AbortController | undefined
  const interrupt = (): void => (answering === undefined ? lines.close() : answering.abort())
  lines.on('SIGINT', interrupt)
  face.signal.addEventListener('abort', interrupt)
  let turn = ''
  ask()
  for await (const line of lines) {
    if (line.endsWith('\\')) {
      turn += `${line.slice(0, -1)}\n`
      continue
    }
    const text = turn + line
    turn = ''
    if (text.trim() === '/exit') break
    if (text.trim() === '/clear') session.clear()
    else if (text.trim() !== '') {
      answering = new AbortController()
      await answer(session, text, answering.signal, face)
      answering = undefined
    }
    if (face.signal.aborted) break
    ask()
  }
}

async function answer(session: ChatSession, text: string, signal: AbortSignal, face: Face): Promise<void> {
  const progress = followProgress(face.terminal)
  try {
    const result = await drive(session.send(text, { signal }), (event) => {
      if (face.json) face.emit(event)
      else if (event.type === 'token') face.terminal.write(event.text)
      else progress.show(event)
    })
    if (face.json) face.emit(result)
    else face.terminal.write('\n')
  } catch (error) {
    if (!isLowrankError(error) || error.code !== 'stopped') throw error
    face.terminal.write('\n')
  }
}
