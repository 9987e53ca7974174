/**
 * @file Opens what the verbs that use a model name: base, adapters, tokenizer, engine. Everything is opened once, and
 * disposed by whoever asked. Must not know what is done with it.
 */
import { basename, dirname, isAbsolute, join } from 'node:path'
import { type AdapterInput, adapterSpecs } from '../config/options/model.ts'
import type { Engine } from '../engine/engine.ts'
import { ADAPTER_CONFIG } from '../formats/adapter-config.ts'
import { baseOfAdapter, readAdapterConfig } from '../formats/adapter-folder.ts'
import { parseGenerationConfig } from '../formats/generation-config.ts'
import type { HeadSpec } from '../formats/task.ts'
import type { AdapterUse, LoadedAdapter } from '../infer/loaded-adapter.ts'
import type { LayerRanges } from '../models/replicate.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readJson } from '../support/files.ts'
import { loadTokenizer } from '../text/load-tokenizer.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { adapterFolder, loadAdapters } from './adapters.ts'
import { type BaseOptions, baseFolder } from './base-folder.ts'
import { headForUse } from './head-facts.ts'
import { openEngine } from './open-engine.ts'
import { type OpenModel, openModel, withReplication } from './open-model.ts'

export interface UseSettings {
  readonly model?: string | undefined
  readonly adapter?: readonly AdapterInput[] | undefined
  readonly adapterDrop?: readonly number[] | undefined
  readonly tokenizer?: string | undefined
  readonly revision?: string | undefined
  readonly offline?: boolean | undefined
}

export interface OpenWithAdapters {
  readonly base: OpenModel
  readonly adapters: readonly LoadedAdapter[]
  /** Every adapter with its weight. */
  readonly uses: readonly AdapterUse[]
}

export interface OpenForUse extends OpenWithAdapters {
  /** Absent where the model folder has none and none is named. */
  readonly tokenizer: Tokenizer | undefined
  /** Tokens that end a text, as generation_config.json or config.json say. */
  readonly eosIds: readonly number[]
}

/** Base and adapters, without what makes text. @throws LowrankError naming the file and field at fault */
export async function openWithAdapters(settings: UseSettings, options: BaseOptions = {}): Promise<OpenWithAdapters> {
  const where: BaseOptions = { ...options, revision: settings.revision, offline: settings.offline }
  const folder = await namedBase(settings, where)
  const plain = await openModel(folder, await headOfAdapters(folder, settings.adapter ?? [], where))
  const base = await withReplication(plain, await commonReplication(settings.adapter ?? [], where))
  const { adapterDrop } = settings
  return { base, ...(await loadAdapters(base, settings.adapter ?? [], { ...where, adapterDrop })) }
}

/** The head that the first adapter with one was trained with; the model's own where none has. */
async function headOfAdapters(
  base: string,
  inputs: readonly AdapterInput[],
  options: BaseOptions,
): Promise<HeadSpec | undefined> {
  let found: HeadSpec | undefined
  for (const { path } of adapterSpecs(inputs)) {
    const head = await headForUse(base, await adapterFolder(path, options))
    if (head && head.task !== 'embedding') return head
    found ??= head
  }
  return found
}

/** How the adapters rebuild the base's stack. @throws LowrankError `config` where they do not agree */
async function commonReplication(inputs: readonly AdapterInput[], options: BaseOptions): Promise<LayerRanges | null> {
  const asked: { name: string; ranges: LayerRanges | null }[] = []
  for (const { name, path } of adapterSpecs(inputs)) {
    const adapter = await readAdapterConfig(await adapterFolder(path, options))
    asked.push({ name, ranges: adapter.kind === 'peft' ? adapter.config.layer_replication : null })
  }
  const [first] = asked
  const other = asked.find(({ ranges }) => JSON.stringify(ranges) !== JSON.stringify(first?.ranges))
  if (!first || !other) return first?.ranges ?? null
  throw new LowrankError(
    'config',
    `layer_replication: adapters ${first.name} and ${other.name} rebuild the layers differently`,
    {
      field: 'layer_replication',
      suggestion: 'use one at a time',
    },
  )
}

/** @throws LowrankError naming the file and field at fault */
export async function openForUse(settings: UseSettings, options: BaseOptions = {}): Promise<OpenForUse> {
  const open = await openWithAdapters(settings, options)
  const tokenizer = await openTokenizer(settings.tokenizer, open.base.folder)
  return { ...open, tokenizer, eosIds: await eosIds(open.base) }
}

export interface EngineSettings {
  readonly engine: Parameters<typeof openEngine>[0]
  readonly threads: number | 'auto'
  readonly dtype: 'auto' | 'f32' | 'bf16' | 'f16'
}

export interface OpenEngine {
  readonly engine: Engine
  /** For `CompileOptions` and the generator. */
  readonly threads: number | undefined
}

/** @throws LowrankError `unsupported` for arithmetic no engine has */
export async function openEngineFor({ engine, threads, dtype }: EngineSettings): Promise<OpenEngine> {
  if (dtype === 'bf16' || dtype === 'f16')
    throw new LowrankError(
      'unsupported',
      `dtype ${dtype}: the engines compute in f32, whatever the weights are stored in`,
      {
        field: 'dtype',
        suggestion: 'leave dtype out',
      },
    )
  return { engine: await openEngine(engine), threads: threads === 'auto' ? undefined : threads }
}

/** The folder of the base: as named, or what the first adapter says it was made for. */
export async function namedBase(settings: UseSettings, options: BaseOptions): Promise<string> {
  if (settings.model !== undefined) return await baseFolder(settings.model, options)
  const [first] = adapterSpecs(settings.adapter ?? [])
  if (!first) throw new LowrankError('usage', 'neither a model nor an adapter is named', { field: 'model' })
  const { name, revision } = await baseNamedBy(first.path, options)
  try {
    return await baseFolder(name, { ...options, revision: revision ?? options.revision })
  } catch (error) {
    if (!(error instanceof LowrankError) || (error.code !== 'missing' && error.code !== 'network')) throw error
    throw new LowrankError(
      error.code,
      `the adapter ${first.path} was made for ${name}, which is not there: ${error.message}`,
      {
        file: error.file,
        field: 'model',
        suggestion: 'name the model',
        cause: error,
      },
    )
  }
}

/** The base that an adapter was made for: an id, or a folder, which may lie beside it. @throws LowrankError `usage` for none */
export async function baseNamedBy(
  path: string,
  options: BaseOptions = {},
): Promise<{ name: string; revision: string | undefined }> {
  const folder = await adapterFolder(path, options)
  const adapter = await readAdapterConfig(folder)
  const { name, revision } = baseOfAdapter(adapter)
  if (!name)
    throw new LowrankError('usage', `the adapter ${path} does not name its base`, {
      file: join(folder, ADAPTER_CONFIG),
      field: adapter.kind === 'adapterhub' ? 'model_name' : 'base_model_name_or_path',
      suggestion: 'name it with --model',
    })
  const beside = join(folder, name)
  const local = !isAbsolute(name) && (await pathKind(name)) !== 'folder' && (await pathKind(beside)) === 'folder'
  return { name: local ? beside : name, revision: revision ?? undefined }
}

/** The tokenizer that is named (a folder or its tokenizer.json), or the model's own where it has one. */
export async function openTokenizer(named: string | undefined, folder: string): Promise<Tokenizer | undefined> {
  if (named !== undefined) return await loadTokenizer(basename(named) === 'tokenizer.json' ? dirname(named) : named)
  if ((await pathKind(join(folder, 'tokenizer.json'))) !== 'file') return undefined
  return await loadTokenizer(folder)
}

async function eosIds({ folder, model }: OpenModel): Promise<readonly number[]> {
  const file = join(folder, 'generation_config.json')
  const json = (await pathKind(file)) === 'file' ? await readJson(file) : undefined
  return parseGenerationConfig(json, file, model.raw).eosTokenIds
}
