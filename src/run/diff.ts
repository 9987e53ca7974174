/** @file `diff`: two adapters, module by module. Must not know a terminal, or the maths of it. */
import { resolveOptions } from '../config/resolve.ts'
import type { DiffOptions } from '../config/verbs/index.ts'
import { diffAdapters } from '../peft/algebra/diff.ts'
import type { Updates } from '../peft/algebra/updates.ts'
import { LowrankError } from '../support/errors.ts'
import { openUpdates } from './adapter-files.ts'
import type { DiffResult } from './algebra-types.ts'
import type { Watched } from './evaluate.ts'
import { moduleSteps } from './module-steps.ts'

/**
 * Compares two adapters of one base: norms, cosine, how far they share directions, effective ranks. No base is read.
 * @throws LowrankError `usage`, `missing`, `format`; `config` for adapters of different bases; `stopped`
 */
export async function diff(options: DiffOptions & Watched): Promise<DiffResult> {
  const settings = resolveOptions('diff', options)
  const [a, b, more] = settings.adapter
  if (a === undefined || b === undefined || more !== undefined)
    throw new LowrankError('usage', `diff compares two adapters; ${settings.adapter.length} are named`, {
      field: 'adapter',
    })
  const open = { signal: options.signal, onEvent: options.onProgress, offline: settings.offline }
  const [one, other] = [
    await openUpdates(a, open, { magnitudes: true }),
    await openUpdates(b, open, { magnitudes: true }),
  ]
  const { modules, beside, whole } = diffAdapters(one, other, moduleSteps('diff', options))
  return { a, b, ...whole, modules: [...modules], beside: [...beside], notes: notesOf(one, other) }
}

function notesOf(one: Updates, other: Updates): string[] {
  const notes = [one, other].flatMap(({ name, config }) =>
    config.use_dora
      ? [`${name} is DoRA: its magnitudes stand beside the updates, which are compared without them`]
      : [],
  )
  const [first, second] = [one.config.base_model_name_or_path, other.config.base_model_name_or_path]
  if (first !== null && second !== null && first !== second)
    notes.push(`${one.name} was made for ${first}, ${other.name} for ${second}`)
  return notes
}
