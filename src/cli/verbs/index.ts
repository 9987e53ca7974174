/** @file The verbs' faces, each loaded when it is named. Must not know what they do. */
import { resolveSettings, type Settings } from '../../config/resolve.ts'
import type { VerbName } from '../../config/summaries.ts'
import type { InputOf } from '../../config/verbs/index.ts'
import type { Face } from '../face.ts'

/** Runs a verb and returns the exit code, or nothing for 0. */
export type VerbFace<V extends VerbName> = (options: InputOf<V>, face: Face) => Promise<number | undefined>

const faces: { [V in VerbName]: () => Promise<VerbFace<V>> } = {
  quickstart: async () => (await import('./quickstart.ts')).quickstartFace,
  train: async () => (await import('./train.ts')).trainFace,
  study: async () => (await import('./study.ts')).studyFace,
  eval: async () => (await import('./eval.ts')).evalFace,
  generate: async () => (await import('./generate.ts')).generateFace,
  chat: async () => (await import('./chat.ts')).chatFace,
  classify: async () => (await import('./classify.ts')).classifyFace,
  embed: async () => (await import('./embed.ts')).embedFace,
  merge: async () => (await import('./merge.ts')).mergeFace,
  combine: async () => (await import('./combine.ts')).combineFace,
  extract: async () => (await import('./extract.ts')).extractFace,
  truncate: async () => (await import('./truncate.ts')).truncateFace,
  diff: async () => (await import('./diff.ts')).diffFace,
  factorize: async () => (await import('./factorize.ts')).factorizeFace,
  convert: async () => (await import('./convert.ts')).convertFace,
  inspect: async () => (await import('./inspect.ts')).inspectFace,
  doctor: async () => (await import('./doctor.ts')).doctorFace,
  bench: async () => (await import('./bench.ts')).benchFace,
  schema: async () => (await import('./schema.ts')).schemaFace,
}

/** Checks the options first, so that a wrong one is told before anything is loaded. */
export async function loadVerb<V extends VerbName>(
  name: V,
  settings: Settings,
): Promise<(face: Face) => Promise<number | undefined>> {
  const { given } = resolveSettings(name, settings)
  const run = await faces[name]()
  return (face) => run(given, face)
}
