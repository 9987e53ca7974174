/** @file `lowrank truncate` at a terminal. Must not know how an adapter is cut. */
import type { TruncateOptions } from '../../config/verbs/index.ts'
import { truncate } from '../../run/truncate.ts'
import { count, percent } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import { table } from '../table.ts'

export async function truncateFace(options: TruncateOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const result = await truncate({ ...options, signal: face.signal, onProgress: face.json ? face.emit : progress.show })
  progress.end()
  if (face.json) return void face.emit(result)
  const { output, modules, energy } = result
  const rows = modules.map((m) => [m.path, String(m.from), String(m.rank), percent(m.energy), percent(m.error)])
  const lines = table([['module', 'from', 'rank', 'energy kept', 'error'], ...rows], face.terminal.out)
  const facts = `${count(modules.length)} modules, at least ${percent(energy)} of each update's energy kept`
  face.terminal.write(`${[...lines, '', `${face.terminal.out.strong(output)}  ${facts}`].join('\n')}\n`)
}
