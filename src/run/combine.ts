/** @file `combine`: several weighted adapters as one. Must not know a terminal, or the maths of a combination. */
import { basename, resolve } from 'node:path'
import { adapterSpecs } from '../config/options/model.ts'
import { resolveOptions } from '../config/resolve.ts'
import type { CombineOptions } from '../config/verbs/index.ts'
import { combineAdapters, type Weighted } from '../peft/algebra/combine.ts'
import { LowrankError } from '../support/errors.ts'
import { significant } from '../support/human.ts'
import { checkOutput, openUpdates, writeAdapter } from './adapter-files.ts'
import type { CombineResult } from './algebra-types.ts'
import type { Watched } from './evaluate.ts'
import { moduleSteps } from './module-steps.ts'

/**
 * Combines adapters of one base as PEFT's `add_weighted_adapter` does, and writes the one as a PEFT folder. `cat` and `svd`
 * are exact in the weighted sum of the updates (svd: its best approximation of the rank). No base is read.
 * @throws LowrankError `usage`, `missing`, `format`; `config` for other bases, sizes or ranks, naming module and adapters;
 * `unsupported` for DoRA; `stopped`. Nothing is left half-written.
 */
export async function combine(options: CombineOptions & Watched): Promise<CombineResult> {
  const settings = resolveOptions('combine', options)
  const { signal, onProgress } = options
  const { output, overwrite, combination, model } = settings
  const weighted = weightsOf(settings)
  await checkOutput(
    output,
    overwrite,
    weighted.map(({ path }) => path),
  )
  const adapters: Weighted[] = []
  for (const { path, weight } of weighted)
    adapters.push({
      updates: await openUpdates(path, { signal, onEvent: onProgress, offline: settings.offline }),
      weight,
    })
  const made = combineAdapters(adapters, { ...settings, base: model }, moduleSteps('combine', options))
  const sum = weighted.map(({ path, weight }) => `${significant(weight)} × ${basename(resolve(path))}`).join(' + ')
  await writeAdapter(output, overwrite, { ...made, facts: [['Combined', `${combination}: ${sum}`]] })
  return {
    output,
    combination,
    adapters: weighted,
    rank: made.config.r,
    modules: [...made.modules],
    tensors: made.tensors.size,
    notes: [...made.notes],
  }
}

/** The adapters with their weights, said by `name=PATH:weight` or in a list. */
function weightsOf({
  adapter,
  weights,
}: {
  adapter: Parameters<typeof adapterSpecs>[0]
  weights?: number[] | undefined
}): {
  path: string
  weight: number
}[] {
  const specs = adapterSpecs(adapter)
  if (weights === undefined) return specs.map(({ path, weight }) => ({ path, weight }))
  const said = specs.find(({ weight }) => weight !== 1)
  if (said)
    throw new LowrankError('usage', `${said.path} has the weight ${said.weight} of its own, and --weights besides`, {
      field: 'weights',
    })
  if (weights.length !== specs.length)
    throw new LowrankError('usage', `there are ${specs.length} adapters and ${weights.length} weights`, {
      field: 'weights',
    })
  return specs.map(({ path }, i) => ({ path, weight: weights[i] ?? 1 }))
}
