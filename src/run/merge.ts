/**
 * @file `merge`: a base with one or several adapters folded in, as a plain Hugging Face folder. Tensors go through memory
 * one at a time. Must not know a terminal, or the maths of a merge.
 */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { adapterSpecs } from '../config/options/model.ts'
import { resolveOptions } from '../config/resolve.ts'
import type { MergeOptions } from '../config/verbs/index.ts'
import { headConfig, headOfConfig } from '../formats/task.ts'
import type { LazyTensor } from '../formats/tensor-files.ts'
import { planMerge } from '../peft/merge-model.ts'
import { writeFileAtomic, writeFolderAtomic } from '../support/atomic-write.ts'
import { adapterFolder } from './adapters.ts'
import type { Watched } from './evaluate.ts'
import { refuseInputs } from './keep-inputs.ts'
import { mergedShards, mergedWeights } from './merged-shards.ts'
import { copySmallFiles } from './model-files.ts'
import { refuseOccupied } from './occupied.ts'
import { type OpenWithAdapters, openWithAdapters } from './open-for-use.ts'
import type { MergeResult } from './types.ts'
import { writeWeights } from './write-weights.ts'

/**
 * Writes base + adapters as a model folder: weights in the base's dtypes and shards, config, tokenizer files. A head that
 * an adapter parts from the embedding it was tied to is written apart, and the config says so.
 * @throws LowrankError `io` for an output that holds something (unless `overwrite`); `config` for adapters that cannot be
 * merged (a bias on B where the base has none, two that replace the same tensor), naming field and module; `numeric`
 * naming the tensor that would not be finite; `stopped`. Nothing is left half-written.
 */
export async function mergeAdapter(options: MergeOptions & Watched): Promise<MergeResult> {
  const started = performance.now()
  const settings = resolveOptions('merge', options)
  const { signal, onProgress: onEvent } = options
  const { output, overwrite } = settings
  await refuseOccupied(output, overwrite)
  const open = await openWithAdapters(settings, { signal, onEvent })
  await refuseInputs(output, [open.base.folder, ...(await adapterFolders(settings.adapter ?? []))], 'merge')
  const weights = mergedWeights(open)
  const plan = planMerge(open.base.model.modules, weights)
  const shards = await mergedShards(open, plan)
  const tensors = shards.flat().length
  let done = 0
  const counted = (tensor: LazyTensor): LazyTensor => ({
    ...tensor,
    data: () => {
      onEvent?.({ type: 'progress', label: 'merge', done: ++done, total: tensors, unit: 'tensors' })
      return tensor.data()
    },
  })
  let bytes = 0
  const write = async (folder: string): Promise<void> => {
    bytes = await writeWeights(
      folder,
      shards.map((shard) => shard.map(counted)),
      signal,
    )
    await copySmallFiles(open.base.folder, folder)
    await writeConfig(open, plan.untied.length > 0, folder)
  }
  await writeFolderAtomic(output, write, { replace: overwrite })
  const merged = new Set(plan.tensors.map(({ name }) => name.slice(0, name.lastIndexOf('.')))).size
  const seconds = (performance.now() - started) / 1000
  return { output, merged, tensors, bytes, dtype: commonDtype(shards.flat()), seconds }
}

/** As it stands where nothing in it changes, so that numbers keep their spelling. */
async function writeConfig({ base }: OpenWithAdapters, untied: boolean, folder: string): Promise<void> {
  const [from, to] = [join(base.folder, 'config.json'), join(folder, 'config.json')]
  const head = headOf(base)
  if (!untied && !base.replicated && !head) return await copyFile(from, to)
  const json = { ...base.model.raw.json(), ...(untied ? { tie_word_embeddings: false } : {}), ...head }
  await writeFileAtomic(to, `${JSON.stringify(json, null, 2)}\n`)
}

/** What the config must say of a head that it does not mean yet: another class, other labels. */
function headOf({ model }: OpenWithAdapters['base']): Readonly<Record<string, unknown>> | undefined {
  const { spec, raw, classPrefix } = model
  if (classPrefix === undefined || JSON.stringify(headOfConfig(raw)) === JSON.stringify(spec)) return undefined
  return headConfig(classPrefix, spec)
}

async function adapterFolders(inputs: Parameters<typeof adapterSpecs>[0]): Promise<string[]> {
  return await Promise.all(adapterSpecs(inputs).map(({ path }) => adapterFolder(path)))
}

function commonDtype(tensors: readonly LazyTensor[]): string {
  const counts = new Map<string, number>()
  for (const { dtype, shape } of tensors)
    counts.set(dtype, (counts.get(dtype) ?? 0) + shape.reduce((product, extent) => product * extent, 1))
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0] ?? 'f32'
}
