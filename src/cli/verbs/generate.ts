/** @file `lowrank generate` at a terminal: streams text as it comes. Must not know sampling. */
import { text } from 'node:stream/consumers'
import type { GenerateOptions } from '../../config/verbs/index.ts'
import { generate } from '../../run/generate.ts'
import { significant } from '../../support/human.ts'
import { drive, type Face } from '../face.ts'
import { followProgress } from '../progress.ts'

export async function generateFace(options: GenerateOptions, face: Face): Promise<undefined> {
  const { terminal } = face
  const progress = followProgress(terminal)
  const prompt = options.prompt === '-' ? { prompt: await text(process.stdin) } : {}
  const result = await drive(generate({ ...options, ...prompt, signal: face.signal }), (event) => {
    if (face.json) face.emit(event)
    else if (event.type === 'token') terminal.write(event.text)
    else progress.show(event)
  })
  progress.end()
  if (face.json) return void face.emit(result)
  // Without a tokenizer there is no text: the ids are the result.
  terminal.write(result.text === '' && result.ids.length > 0 ? `${result.ids.join(',')}\n` : '\n')
  const end = result.finishReason === 'stop' ? 'stopped by itself' : 'reached --max-tokens'
  terminal.say(
    terminal.err.faint(`${result.ids.length} tokens, ${significant(result.tokensPerSecond)} tokens/s, ${end}`),
  )
}
