/**
 * @file Reads PEFT folders onto an open model: what sits where, its values, and base tensors the file brings along.
 * Must not know verbs or engines.
 */

import { resolve } from 'node:path'
import { type AdapterInput, type AdapterSpec, adapterSpecs } from '../config/options/model.ts'
import { readAdapterConfig } from '../formats/adapter-folder.ts'
import { readPeftFolder } from '../formats/peft-folder.ts'
import { readTensor, type WeightRef } from '../formats/tensor-files.ts'
import { withoutLayers } from '../infer/drop-layers.ts'
import type { AdapterUse, LoadedAdapter } from '../infer/loaded-adapter.ts'
import { checkUses } from '../infer/loaded-adapter.ts'
import { loadAdapterTensors } from '../peft/adapter-tensors.ts'
import { lacksPrefix, loadBareAdapter } from '../peft/bare-adapter.ts'
import { layoutAdapter } from '../peft/layout.ts'
import { invariant, isLowrankError, LowrankError } from '../support/errors.ts'
import { pathKind } from '../support/files.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { type BaseOptions, baseFolder } from './base-folder.ts'
import type { OpenModel } from './open-model.ts'
import { readPartsAdapter, usedParts } from './parts-adapter.ts'
import { withTakenStart } from './taken-start.ts'

export interface LoadedAdapters {
  readonly adapters: readonly LoadedAdapter[]
  /** Every adapter with the weight its option gives it. */
  readonly uses: readonly AdapterUse[]
}

/**
 * Loads adapters named `PATH` or `name=PATH[:weight]` (folders, or Hugging Face ids).
 * @throws LowrankError `missing`, `format`, `config`, `unsupported` naming file and field: among them a rank that is not
 * the config's, and an adapter of another base; `usage` for names and weights that cannot be meant.
 */
export async function loadAdapters(
  base: OpenModel,
  inputs: readonly AdapterInput[],
  options: LoadOptions = {},
): Promise<LoadedAdapters> {
  const specs = adapterSpecs(inputs)
  checkNames(specs)
  const adapters: LoadedAdapter[] = []
  for (const spec of specs) adapters.push(await loadAdapter(base, spec, options))
  const uses = specs.map(({ name, weight }) => ({ name, weight }))
  checkUses(adapters, uses)
  return { adapters, uses }
}

export interface LoadOptions extends BaseOptions {
  /** Layers whose bottleneck adapters are left out. */
  readonly adapterDrop?: readonly number[] | undefined
}

/** Loads one adapter. */
export async function loadAdapter(
  base: OpenModel,
  spec: Pick<AdapterSpec, 'name' | 'path'>,
  options: LoadOptions = {},
): Promise<LoadedAdapter> {
  const whole = await loadWhole(base, spec, options)
  return withoutLayers(whole, options.adapterDrop ?? [], { count: base.model.config.layers, path: spec.path })
}

async function loadWhole(
  { model, weights, replicated }: OpenModel,
  { name, path }: Pick<AdapterSpec, 'name' | 'path'>,
  options: BaseOptions,
): Promise<LoadedAdapter> {
  const folder = await adapterFolder(path, options)
  if ((await readAdapterConfig(folder)).kind !== 'peft')
    return await loadParts({ model, weights }, { name, path, folder }, options)
  const { config, tensors, warnings } = await readPeftFolder(folder)
  if (JSON.stringify(config.layer_replication) !== JSON.stringify(replicated?.ranges ?? null))
    throw new LowrankError(
      'config',
      `${folder}: layer_replication rebuilds the base's layers, and the base is open without it`,
      {
        file: folder,
        field: 'layer_replication',
        suggestion: 'name the adapter where the model is opened',
      },
    )
  const { layout, loaded } = fitting(folder, config.base_model_name_or_path, () => {
    if (lacksPrefix(model, tensors.keys())) return loadBareAdapter(model, config, tensors, folder)
    const own = layoutAdapter(model.modules, config, { modelType: model.modelType, loaded: true })
    return { layout: own, loaded: loadAdapterTensors(own, model.modules, tensors, folder) }
  })
  const placed = await withTakenStart(model, { config, layout, loaded }, storedTensors(weights))
  for (const message of [...warnings, ...layout.notes, ...placed.notes])
    options.onEvent?.({ type: 'notice', message: `${path}: ${message}` })
  const { trained, base } = placed.loaded
  return { name, layout: placed.layout, values: trained, base: await differing(base, { model, weights }) }
}

/** Bottlenecks and trained parts: what is the base's own in them is left to it. */
async function loadParts(
  open: Pick<OpenModel, 'model' | 'weights'>,
  { name, path, folder }: { name: string; path: string; folder: string },
  options: BaseOptions,
): Promise<LoadedAdapter> {
  const { warnings, ...read } = await readPartsAdapter(open.model, folder, 0)
  for (const message of warnings) options.onEvent?.({ type: 'notice', message: `${path}: ${message}` })
  return { name, ...(await usedParts(read, open, folder)), base: new Map() }
}

/** Reads base tensors in their own dtype, by the model's names. */
export function storedTensors(weights: ReadonlyMap<string, WeightRef>): (name: string) => Promise<HostTensor> {
  return async (name) => {
    const ref = weights.get(name)
    invariant(ref, `the base has no tensor ${name}`)
    return await readTensor(ref)
  }
}

/** The folder of an adapter: as named, or the cached or downloaded one of a Hugging Face id (owner/name). */
export async function adapterFolder(path: string, options: BaseOptions = {}): Promise<string> {
  if ((await pathKind(path)) === 'folder') return resolve(path)
  if (!HUB_ID.test(path)) throw new LowrankError('missing', `there is no adapter folder ${path}`, { file: path })
  try {
    // A revision names the base's: an adapter has its own history.
    const { revision: _, ...rest } = options
    return await baseFolder(path, rest)
  } catch (error) {
    if (!isLowrankError(error) || (error.code !== 'missing' && error.code !== 'network')) throw error
    const message = `there is no adapter folder ${path}, and no such Hugging Face id was found: ${error.message}`
    throw new LowrankError(error.code, message, { file: path, suggestion: error.suggestion, cause: error })
  }
}

/** Adapters always have an owner. */
const HUB_ID = /^[\w][\w.-]*\/[\w][\w.-]*$/

export function checkNames(specs: readonly AdapterSpec[]): void {
  for (const [i, { name, path }] of specs.entries()) {
    const first = specs.findIndex((spec) => spec.name === name)
    if (first !== i)
      throw new LowrankError('usage', `two adapters are named ${name}: ${specs[first]?.path} and ${path}`, {
        field: 'adapter',
        suggestion: 'give each a name of its own: name=PATH',
      })
  }
}

/** An error of the config gets the folder it is about, and the base that may be the right one. */
function fitting<T>(folder: string, madeFor: string | null, body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (!isLowrankError(error) || error.file !== undefined) throw error
    const { code, message, field, suggestion } = error
    const made = madeFor ? `; the adapter was made for ${madeFor}` : ''
    throw new LowrankError(code, `${folder}: ${message}${made}`, { file: folder, field, suggestion, cause: error })
  }
}

/**
 * PEFT writes whole embeddings beside some adapters, most of them the base's own: only those that differ count.
 * A tied head's copy stands for the embedding it shares.
 */
async function differing(
  brought: ReadonlyMap<string, HostTensor>,
  { model, weights }: Pick<OpenModel, 'model' | 'weights'>,
): Promise<Map<string, HostTensor>> {
  const shared = new Map(
    model.modules.flatMap(({ path, tiedTo }) => (tiedTo ? [[`${path}.weight`, `${tiedTo}.weight`]] : [])),
  )
  const found = new Map<string, HostTensor>()
  for (const [own, value] of brought) {
    const name = shared.get(own) ?? own
    const ref = weights.get(name)
    if (ref && sameValues(value, await readTensor(ref, { as: 'f32' }))) continue
    if (!found.has(name)) found.set(name, value)
  }
  return found
}

function sameValues(a: HostTensor, b: HostTensor): boolean {
  if (a.dtype !== b.dtype || a.data.length !== b.data.length) return false
  for (let i = 0; i < a.data.length; i++) if (a.data[i] !== b.data[i]) return false
  return true
}
