/** @file `truncate`: an adapter of smaller rank. Must not know a terminal, or the maths of it. */
import { basename, resolve } from 'node:path'
import { resolveOptions } from '../config/resolve.ts'
import type { TruncateOptions } from '../config/verbs/index.ts'
import type { Cut } from '../linalg/low-rank.ts'
import { truncateAdapter } from '../peft/algebra/truncate.ts'
import { invariant } from '../support/errors.ts'
import { percent } from '../support/human.ts'
import { checkOutput, openUpdates, writeAdapter } from './adapter-files.ts'
import type { TruncateResult } from './algebra-types.ts'
import type { Watched } from './evaluate.ts'
import { moduleSteps } from './module-steps.ts'

/**
 * Writes an adapter whose updates are the best approximations of another's: of a rank, or with a share of the energy.
 * @throws LowrankError `usage`, `missing`, `format`; `unsupported` for DoRA; `stopped`. Nothing is left half-written.
 */
export async function truncate(options: TruncateOptions & Watched): Promise<TruncateResult> {
  const settings = resolveOptions('truncate', options)
  const { path, output, overwrite } = settings
  await checkOutput(output, overwrite, [path])
  const updates = await openUpdates(path, {
    signal: options.signal,
    onEvent: options.onProgress,
    offline: settings.offline,
  })
  const made = truncateAdapter(updates, cutOf(settings), moduleSteps('truncate', options))
  const energy = made.modules.reduce((least, module) => Math.min(least, module.energy), 1)
  const facts = [
    ['Truncated from', `${basename(resolve(path))}, at least ${percent(energy)} of each update's energy kept`],
  ] as const
  await writeAdapter(output, overwrite, { ...made, facts })
  return { output, rank: made.config.r, modules: [...made.modules], energy, tensors: made.tensors.size }
}

/** `--rank` or `--energy`; the verb's rules have seen to it that one is given. */
export function cutOf({ rank, energy }: { rank?: number | undefined; energy?: number | undefined }): Cut {
  if (rank !== undefined) return { rank }
  invariant(energy !== undefined, 'neither a rank nor an energy')
  return { energy }
}
