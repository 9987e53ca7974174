/** @file `lowrank convert` at a terminal. Must not know formats. */
import type { ConvertOptions } from '../../config/verbs/index.ts'
import { convert } from '../../run/convert.ts'
import { count } from '../../support/human.ts'
import type { Face } from '../face.ts'

export async function convertFace(options: ConvertOptions, face: Face): Promise<undefined> {
  const result = await convert(options)
  if (face.json) return void face.emit(result)
  const { output, from, to, modules, tensors, rank, alpha, notes } = result
  for (const note of notes) face.terminal.say(note)
  const facts = `${count(modules)} modules, ${count(tensors)} tensors, rank ${rank}, alpha ${alpha}`
  face.terminal.write(`${face.terminal.out.strong(output)}  ${from} → ${to}: ${facts}\n`)
}
