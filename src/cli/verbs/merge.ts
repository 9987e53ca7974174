/** @file `lowrank merge` at a terminal. Must not know how weights are summed. */
import type { MergeOptions } from '../../config/verbs/index.ts'
import { mergeAdapter } from '../../run/merge.ts'
import { bytes, count, duration } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'

export async function mergeFace(options: MergeOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const onProgress = face.json ? face.emit : progress.show
  const result = await mergeAdapter({ ...options, signal: face.signal, onProgress })
  progress.end()
  if (face.json) return void face.emit(result)
  const facts = `${count(result.merged)} modules merged, ${count(result.tensors)} tensors, ${result.dtype}, ${bytes(result.bytes)}`
  face.terminal.write(`${face.terminal.out.strong(result.output)}  ${facts} in ${duration(result.seconds)}\n`)
}
