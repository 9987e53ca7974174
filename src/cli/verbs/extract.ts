/** @file `lowrank extract` at a terminal. Must not know how an update is found. */
import type { ExtractOptions } from '../../config/verbs/index.ts'
import { extract } from '../../run/extract.ts'
import { count, percent, significant } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import { table } from '../table.ts'

/** Names shown of what is in no update. */
const MOST_NAMES = 8

export async function extractFace(options: ExtractOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const result = await extract({ ...options, signal: face.signal, onProgress: face.json ? face.emit : progress.show })
  progress.end()
  if (face.json) return void face.emit(result)
  const { output, modules, energy, rest, untouched } = result
  const rows = modules.map((m) => [m.path, String(m.rank), significant(m.norm), percent(m.energy)])
  const lines = table([['module', 'rank', 'difference', 'energy kept'], ...rows], face.terminal.out)
  if (rest.tensors.length > 0) {
    const names = rest.tensors.slice(0, MOST_NAMES).join(', ') + (rest.tensors.length > MOST_NAMES ? ', …' : '')
    const what = rest.saved ? 'saved whole' : 'differ and are not in the adapter (--save-rest puts them in)'
    face.terminal.say(`${count(rest.tensors.length)} tensors ${what}: ${names}`)
  }
  const same = untouched > 0 ? `, ${count(untouched)} targets unchanged` : ''
  const facts = `${count(modules.length)} modules, ${percent(energy)} of the difference kept${same}`
  face.terminal.write(`${[...lines, '', `${face.terminal.out.strong(output)}  ${facts}`].join('\n')}\n`)
}
