/** @file `lowrank embed` at a terminal. Must not know how vectors are made. */
import type { EmbedOptions } from '../../config/verbs/index.ts'
import { embed } from '../../run/embed.ts'
import { count, significant } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import { fromStdin } from '../stdin.ts'

/** Digits of a number that f32 holds. */
const DIGITS = 7

export async function embedFace(options: EmbedOptions, face: Face): Promise<undefined> {
  const { terminal } = face
  const progress = followProgress(terminal)
  const onProgress = face.json ? face.emit : progress.show
  const vectors = await embed({ ...options, ...(await fromStdin(options)), signal: face.signal, onProgress })
  progress.end()
  const { output } = options
  const dimensions = vectors[0]?.length ?? 0
  if (output !== undefined) {
    if (face.json) return void face.emit({ output, rows: vectors.length, dimensions })
    const what = `${count(vectors.length)} vectors of ${count(dimensions)} numbers in`
    return void terminal.write(`${what} ${terminal.out.strong(output)}\n`)
  }
  if (face.json) return void face.emit(vectors.map((vector) => Array.from(vector)))
  for (const vector of vectors) terminal.write(`${Array.from(vector, (x) => significant(x, DIGITS)).join(' ')}\n`)
}
