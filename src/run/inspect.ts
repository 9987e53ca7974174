/**
 * @file `inspect`: what a model folder, adapter, checkpoint, run folder, safetensors or torch file is. Reads headers, no weights.
 * Must not know a terminal.
 */
import { basename, join, resolve } from 'node:path'
import { resolveOptions } from '../config/resolve.ts'
import type { InspectOptions } from '../config/verbs/index.ts'
import { ADAPTER_CONFIG } from '../formats/adapter-config.ts'
import { adapterTensorFiles, readAdapterConfig } from '../formats/adapter-folder.ts'
import { isLoralib } from '../formats/loralib.ts'
import { readSafetensorsHeader } from '../formats/tensor-files.ts'
import { isTorchName, readTorchHeader } from '../formats/torch-file.ts'
import { openWeights } from '../formats/weights-folder.ts'
import { isLowrankError, LowrankError } from '../support/errors.ts'
import { pathKind } from '../support/files.ts'
import { baseFolder } from './base-folder.ts'
import { adapterFacts, modelFacts, partsFacts, runFacts } from './inspect/facts.ts'
import { loralibFacts } from './inspect/loralib.ts'
import { studyFacts } from './inspect/study.ts'
import { type Listed, summarize } from './inspect/tensors.ts'
import type { InspectResult } from './types.ts'

/** Says what a path is. @throws {LowrankError} `missing`, `format`, `config`, naming the file. */
export async function inspect(input: string | InspectOptions): Promise<InspectResult> {
  const options = resolveOptions('inspect', typeof input === 'string' ? { path: input } : input)
  const path = await findPath(options.path, options.revision)
  const { tensors } = options
  const result = (await pathKind(path)) === 'file' ? await inspectFile(path) : await inspectFolder(path)
  const { listed, ...rest } = result
  if (!tensors) return rest
  return { ...rest, list: listed.map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape: [...shape], bytes })) }
}

/** What is no path may be the embedded base or a model in the cache; looking never downloads. */
async function findPath(path: string, revision: string | undefined): Promise<string> {
  if ((await pathKind(path)) !== undefined) return path
  try {
    return await baseFolder(path, { revision, offline: true })
  } catch (cause) {
    if (!isLowrankError(cause)) throw cause
    const message = `there is no file or folder ${path}, and no such model in the cache`
    throw new LowrankError('missing', message, { file: path, suggestion: cause.suggestion, cause })
  }
}

type Found = InspectResult & { listed: Listed[] }

async function inspectFile(path: string): Promise<Found> {
  const { kind, listed, metadata } = isTorchName(path) ? await listTorch(path) : await listSafetensors(path)
  const base = { kind, path, architecture: null, ...summarize(listed), listed, ...metadata }
  if (!isLoralib(listed.map(({ name }) => name))) return base
  return { ...base, kind: 'loralib', architecture: 'LoRA', trainable: base.parameters, loralib: loralibFacts(listed) }
}

interface ListedFile {
  kind: InspectResult['kind']
  listed: Listed[]
  metadata: Pick<InspectResult, 'metadata'>
}

async function listSafetensors(path: string): Promise<ListedFile> {
  const { entries, metadata } = await readSafetensorsHeader(path)
  return {
    kind: 'safetensors',
    listed: [...entries.values()],
    metadata: Object.keys(metadata).length === 0 ? {} : { metadata },
  }
}

async function listTorch(path: string): Promise<ListedFile> {
  const { entries, format, others } = await readTorchHeader(path)
  const metadata = { format: `torch, ${format}`, ...(others.length > 0 ? { 'other entries': others.join(', ') } : {}) }
  return { kind: 'torch', listed: [...entries.values()], metadata: { metadata } }
}

async function inspectFolder(path: string): Promise<Found> {
  const has = async (name: string): Promise<boolean> => (await pathKind(join(path, name))) === 'file'
  const study = await studyFacts(path)
  if (study) return { ...empty(path), kind: 'study', study }
  const isRun = (await has('trainer_log.jsonl')) || (await has('run.yaml'))
  const what = (await has(ADAPTER_CONFIG))
    ? await inspectAdapter(path)
    : (await has('config.json'))
      ? await inspectModel(path)
      : undefined
  if (isRun) return { ...(what ?? empty(path)), kind: 'run', run: await runFacts(path) }
  if (what === undefined) {
    const message = `${path} is no model, adapter or run: it has no config.json, ${ADAPTER_CONFIG} or trainer_log.jsonl`
    throw new LowrankError('missing', message, { file: path })
  }
  return /^checkpoint-\d+$/.test(basename(resolve(path))) ? { ...what, kind: 'checkpoint' } : what
}

async function inspectModel(path: string): Promise<Found> {
  const { architecture, model } = await modelFacts(path)
  const { refs, unreadable } = await openWeights(path)
  const listed: Listed[] = Array.from(refs, ([name, { dtype, shape, bytes }]) => ({ name, dtype, shape, bytes }))
  // Types that lowrank does not compute with are listed without a size: their place was not kept.
  for (const [name, dtype] of unreadable) listed.push({ name, dtype, shape: [0], bytes: 0 })
  return { kind: 'model', path, architecture, ...summarize(listed), model, listed }
}

async function inspectAdapter(path: string): Promise<Found> {
  const config = await readAdapterConfig(path)
  const adapter = config.kind === 'peft' ? adapterFacts(config) : partsFacts(config)
  const listed: Listed[] = []
  for (const file of await adapterTensorFiles(config.kind, path))
    listed.push(...(isTorchName(file) ? await listTorch(file) : await listSafetensors(file)).listed)
  const summary = summarize(listed)
  return {
    kind: 'adapter',
    path,
    architecture: adapter.method,
    ...summary,
    trainable: summary.parameters,
    adapter,
    listed,
  }
}

/** A run that has not saved anything yet. */
function empty(path: string): Found {
  return { kind: 'run', path, architecture: null, ...summarize([]), listed: [] }
}
