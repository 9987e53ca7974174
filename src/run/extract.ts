/**
 * @file `extract`: what fine-tuning changed in a model, as a LoRA of the model before. Weights go through memory two at a
 * time. Must not know a terminal, or the maths of it.
 */
import { basename, resolve } from 'node:path'
import { resolveOptions } from '../config/resolve.ts'
import type { ExtractOptions, ExtractSettings } from '../config/verbs/index.ts'
import { loraConfig } from '../formats/peft-config.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { peftTaskType } from '../formats/task.ts'
import { readTensor } from '../formats/tensor-files.ts'
import { frobeniusNorm, type Matrix, matrix, transpose } from '../linalg/matrix.ts'
import type { SiteModule } from '../models/modules.ts'
import { adapterTensorsToSave } from '../peft/adapter-tensors.ts'
import { extractUpdate } from '../peft/algebra/extract.ts'
import { type NewUpdate, rankFields, tensorsOf } from '../peft/algebra/updates.ts'
import { idOfKey } from '../peft/keys.ts'
import { layoutAdapter } from '../peft/layout.ts'
import { asF32 } from '../peft/low-rank-update.ts'
import { resolveTargets } from '../peft/targets.ts'
import { LowrankError } from '../support/errors.ts'
import { percent } from '../support/human.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { checkOutput, writeAdapter } from './adapter-files.ts'
import type { ExtractedModule, ExtractResult } from './algebra-types.ts'
import { baseFolder } from './base-folder.ts'
import type { Watched } from './evaluate.ts'
import { breathe, moduleSteps } from './module-steps.ts'
import { type OpenModel, openModel } from './open-model.ts'
import { cutOf } from './truncate.ts'

/**
 * Writes a LoRA for `model` that makes it `tuned`, as well as its rank allows. What differs outside the targets (norms,
 * embeddings, biases) is named, and with `saveRest` saved whole.
 * @throws LowrankError `usage`, `missing`, `format`; `config` for models of different shapes, or where nothing differs;
 * `numeric` naming the tensor; `stopped`. Nothing is left half-written.
 */
export async function extract(options: ExtractOptions & Watched): Promise<ExtractResult> {
  const settings = resolveOptions('extract', options)
  const { output, overwrite, model } = settings
  const pair = await openPair(settings, options)
  await checkOutput(output, overwrite, [pair.base.folder, pair.tuned.folder])
  const { updates, modules, untouched } = await extractUpdates(pair, settings, options)
  const covered = new Set(updates.map(({ path }) => `${path}.weight`))
  const rest = await restOf(pair, covered)
  if (updates.length === 0)
    throw new LowrankError('config', `${settings.tuned} and ${model} have the same weights at every target`, {
      file: settings.tuned,
      field: 'tuned',
      suggestion:
        rest.length > 0 ? `these differ: ${rest.slice(0, 4).join(', ')}; name one of them in --targets` : undefined,
    })
  const config = configOf(pair, updates, settings, settings.saveRest ? rest : [])
  const tensors = await tensorsToWrite(pair, config, updates)
  const least = modules.reduce((low, { energy }) => Math.min(low, energy), 1)
  const facts = [
    ['Extracted from', `${basename(resolve(settings.tuned))}, at least ${percent(least)} of each difference kept`],
  ] as const
  await writeAdapter(output, overwrite, { config, tensors, facts })
  return {
    output,
    rank: config.r,
    energy: energyOf(modules),
    modules,
    untouched,
    rest: { tensors: rest, saved: settings.saveRest },
    tensors: tensors.size,
  }
}

interface Pair {
  readonly base: OpenModel
  readonly tuned: OpenModel
}

async function openPair(settings: ExtractSettings, { signal, onProgress }: Watched): Promise<Pair> {
  const where = { signal, onEvent: onProgress, offline: settings.offline }
  const base = await openModel(await baseFolder(settings.model, { ...where, revision: settings.revision }))
  const tuned = await openModel(await baseFolder(settings.tuned, where))
  for (const [name, { shape }] of base.weights) {
    const other = tuned.weights.get(name)
    if (other && String(other.shape) === String(shape)) continue
    const found = other ? `is [${other.shape}]` : 'is not there'
    throw new LowrankError(
      'config',
      `${name} is [${shape}] in ${settings.model} and ${found} in ${settings.tuned}: it was not tuned from that base`,
      {
        file: settings.tuned,
        field: name,
      },
    )
  }
  return { base, tuned }
}

async function extractUpdates(
  pair: Pair,
  settings: ExtractSettings,
  watched: Watched,
): Promise<{ updates: NewUpdate[]; modules: ExtractedModule[]; untouched: number }> {
  const { model } = pair.base
  const { sites } = resolveTargets(model.modules, targetFields(settings), model.modelType)
  const own = sites.filter(({ tiedTo }) => tiedTo === undefined)
  const step = moduleSteps('extract', watched)
  const updates: NewUpdate[] = []
  const modules: ExtractedModule[] = []
  for (const [i, site] of own.entries()) {
    step(i, own.length)
    await breathe()
    const difference = await differenceAt(pair, site)
    if (difference.data.every((value) => value === 0)) continue
    const { low, energy } = named(site, settings.tuned, () => extractUpdate(difference, cutOf(settings)))
    updates.push({ path: site.path, embedding: site.kind === 'embedding', ...low })
    modules.push({ path: site.path, rank: low.a.rows, energy, norm: frobeniusNorm(difference) })
  }
  step(own.length, own.length)
  return { updates, modules, untouched: own.length - updates.length }
}

function named<T>({ path }: SiteModule, file: string, body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error
    throw new LowrankError(error.code, `${path}.weight of ${file}: ${error.message}`, { file, field: `${path}.weight` })
  }
}

/** Tuned − base as f64[out, in]. */
async function differenceAt({ base, tuned }: Pair, { path, kind }: SiteModule): Promise<Matrix> {
  const name = `${path}.weight`
  const [before, after] = [await readWeight(base, name), await readWeight(tuned, name)]
  const [rows = 0, columns = 0] = before.shape
  const [x, y] = [asF32(before, name), asF32(after, name)]
  const stored = matrix(rows, columns)
  for (let i = 0; i < x.length; i++) stored.data[i] = (y[i] ?? 0) - (x[i] ?? 0)
  return kind === 'linear' ? stored : transpose(stored)
}

async function readWeight({ weights, folder }: OpenModel, name: string): Promise<HostTensor> {
  const ref = weights.get(name)
  if (ref) return await readTensor(ref, { as: 'f32' })
  throw new LowrankError('format', `${folder} has no tensor ${name}`, { file: folder, field: name })
}

/** Names of tensors that differ and are in no update. */
async function restOf({ base, tuned }: Pair, covered: ReadonlySet<string>): Promise<string[]> {
  const found: string[] = []
  for (const name of base.weights.keys()) {
    if (covered.has(name)) continue
    const [x, y] = [asF32(await readWeight(base, name), name), asF32(await readWeight(tuned, name), name)]
    if (x.some((value, i) => value !== y[i])) found.push(name)
  }
  return found
}

/** Share of all differences that is kept. */
function energyOf(modules: readonly ExtractedModule[]): number {
  const sum = (weigh: (module: ExtractedModule) => number): number =>
    modules.reduce((total, module) => total + weigh(module) * module.norm ** 2, 0)
  return sum(({ energy }) => energy) / sum(() => 1)
}

type TargetFields = Pick<PeftLoraConfig, 'target_modules' | 'exclude_modules'>

function targetFields({ targets, exclude }: ExtractSettings): TargetFields {
  const expression = (value: string | string[]): string | string[] =>
    typeof value === 'string' && value.startsWith('/') && value.endsWith('/') ? value.slice(1, -1) : value
  return { target_modules: expression(targets), exclude_modules: exclude === undefined ? null : expression(exclude) }
}

function configOf(
  { base }: Pair,
  updates: readonly NewUpdate[],
  settings: ExtractSettings,
  rest: readonly string[],
): PeftLoraConfig {
  const sites = new Set(updates.map(({ path }) => path))
  const biased = rest.filter((name) => name.endsWith('.bias'))
  const ownBias = (name: string): boolean => sites.has(name.slice(0, -'.bias'.length))
  const outside = new Set(rest.filter((name) => !ownBias(name)).map((name) => name.slice(0, name.lastIndexOf('.'))))
  // PEFT ties a copy of the embedding to the head where the head is named.
  const heads = new Map(base.model.modules.flatMap(({ path, tiedTo }) => (tiedTo ? [[tiedTo, [path]]] : [])))
  return loraConfig({
    ...rankFields(updates),
    target_modules: [...sites],
    base_model_name_or_path: settings.model,
    revision: settings.revision ?? null,
    task_type: peftTaskType(base.model.spec.task),
    fan_in_fan_out: base.model.modules.some(({ path, kind }) => kind === 'conv1d' && sites.has(path)),
    bias: biased.some(ownBias) ? 'lora_only' : 'none',
    modules_to_save: outside.size > 0 ? [...outside].flatMap((path) => heads.get(path) ?? [path]) : null,
    ensure_weight_tying: [...outside].some((path) => heads.has(path)),
  })
}

/** What PEFT's save_pretrained would write of the tuned model: the updates, and what is saved whole. */
async function tensorsToWrite(
  { base, tuned }: Pair,
  config: PeftLoraConfig,
  updates: readonly NewUpdate[],
): Promise<Map<string, HostTensor>> {
  const low = new Map(Array.from(tensorsOf(updates), ([key, value]) => [idOfKey(key) ?? key, value]))
  const layout = layoutAdapter(base.model.modules, config, { modelType: base.model.modelType, loaded: true })
  const values = new Map<string, HostTensor>()
  for (const { id, role, module, parameter, source, sameAs } of layout.tensors) {
    if (sameAs !== undefined || role === 'base') continue
    const value = low.get(id) ?? (await readWeight(tuned, source ?? `${module}.${parameter}`))
    values.set(id, value)
  }
  return await adapterTensorsToSave(layout, values, (source) => readWeight(base, source))
}
