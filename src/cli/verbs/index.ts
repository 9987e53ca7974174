/** @file The verbs' faces, each loaded when it is named. Must not know what they do. */
import { resolveSettings, type Settings } from '../../config/resolve.ts'
import type { VerbName } from '../../config/summaries.ts'
import type { InputOf } from '../../config/verbs/index.ts'
import { LowrankError } from '../../support/errors.ts'
import type { Face } from '../face.ts'

/** Runs a verb and returns the exit code, or nothing for 0. */
export type VerbFace<V extends VerbName> = (options: InputOf<V>, face: Face) => Promise<number | undefined>

const faces: { [V in VerbName]?: () => Promise<VerbFace<V>> } = {
  train: async () => (await import('./train.ts')).trainFace,
  quickstart: async () => (await import('./quickstart.ts')).quickstartFace,
  eval: async () => (await import('./eval.ts')).evalFace,
  merge: async () => (await import('./merge.ts')).mergeFace,
  generate: async () => (await import('./generate.ts')).generateFace,
  chat: async () => (await import('./chat.ts')).chatFace,
  doctor: async () => (await import('./doctor.ts')).doctorFace,
  inspect: async () => (await import('./inspect.ts')).inspectFace,
  schema: async () => (await import('./schema.ts')).schemaFace,
}

/** Checks the options first, so that a wrong one is told before anything is loaded. */
export async function loadVerb<V extends VerbName>(
  name: V,
  settings: Settings,
): Promise<(face: Face) => Promise<number | undefined>> {
  const { given } = resolveSettings(name, settings)
  const face = faces[name]
  if (face === undefined) throw new LowrankError('unsupported', `${name} is not built yet`)
  const run = await face()
  return (face) => run(given, face)
}
