/** @file `lowrank combine` at a terminal. Must not know how adapters are combined. */
import type { CombineOptions } from '../../config/verbs/index.ts'
import { combine } from '../../run/combine.ts'
import { count, percent } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'

export async function combineFace(options: CombineOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const result = await combine({ ...options, signal: face.signal, onProgress: face.json ? face.emit : progress.show })
  progress.end()
  if (face.json) return void face.emit(result)
  for (const note of result.notes) face.terminal.say(note)
  const { output, combination, adapters, modules, rank } = result
  const least = modules.reduce((low, { energy }) => Math.min(low, energy ?? 1), 1)
  const kept = combination === 'svd' ? `, at least ${percent(least)} of each sum's energy kept` : ''
  const facts = `${combination} of ${count(adapters.length)} adapters at ${count(modules.length)} modules, rank ${rank}${kept}`
  face.terminal.write(`${face.terminal.out.strong(output)}  ${facts}\n`)
}
