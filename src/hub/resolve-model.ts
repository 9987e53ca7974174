/**
 * @file Turns a model or adapter argument into a local folder: a folder as it is, a Hugging Face id from the cache,
 * else downloaded into it.
 * Must not know what is in the folder.
 */
import { mkdir, readdir } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isLowrankError, LowrankError } from '../support/errors.ts'
import { fileError, pathKind } from '../support/files.ts'
import { acquireLock, type Lock } from '../support/lock.ts'
import { nearest } from '../support/nearest.ts'
import { cachedIds, findSnapshot, repositoryFolder, type Snapshot } from './cache.ts'
import { listModel } from './client.ts'
import { type Environment, type HubSettings, hubSettings } from './settings.ts'
import { type DownloadEvent, downloadSnapshot } from './snapshot.ts'

export interface ResolveOptions {
  /** Branch, tag or commit. @default "main" */
  revision?: string | undefined
  /** Make no connection. @default HF_HUB_OFFLINE */
  offline?: boolean | undefined
  onEvent?: ((event: DownloadEvent) => void) | undefined
  signal?: AbortSignal | undefined
  /** Where HF_HOME, HF_TOKEN and the like are read. @default process.env */
  env?: Environment | undefined
  /** Wait before the first retry of a broken connection; doubles with each. @default 500 */
  retryDelayMs?: number | undefined
}

export interface ResolvedModel {
  /** A folder with the files; in the cache they are links, so use real paths where links will not do. */
  folder: string
  source: 'folder' | 'cache' | 'download'
  /** Set for Hugging Face ids. */
  id?: string
  commit?: string
}

/** "name" or "owner/name", as the hub allows them. */
const ID = /^(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)?$/
const REVISION = /^(?!.*(?:\.\.|\/\/))[\w][\w./+-]*$/

/**
 * Finds the folder of a model or adapter.
 * @throws {LowrankError} `missing` where there is neither folder nor model (with the nearest known name), `network`,
 * `usage` for a revision that cannot be one, `unsupported` for torch weights, `io`, `stopped`.
 */
export async function resolveModel(argument: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const kind = await pathKind(argument)
  if (kind === 'folder') return { folder: resolve(argument), source: 'folder' }
  if (kind === 'file')
    throw new LowrankError('usage', `${argument} is a file; a model is a folder or a Hugging Face id`, {
      file: argument,
    })
  if (!ID.test(argument) || isAbsolute(argument)) throw await noFolder(argument)
  const revision = options.revision ?? 'main'
  if (!REVISION.test(revision))
    throw new LowrankError('usage', `${JSON.stringify(revision)} cannot be a branch, tag or commit`, {
      field: 'revision',
    })
  const settings = await hubSettings(options.env)
  return resolveId(argument, revision, { ...settings, offline: options.offline ?? settings.offline }, options)
}

async function resolveId(
  id: string,
  revision: string,
  settings: HubSettings,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  const cached = await findSnapshot(settings.cache, id, revision)
  const fromCache = (snapshot: Snapshot): ResolvedModel => ({
    folder: snapshot.folder,
    source: 'cache',
    id,
    commit: snapshot.commit,
  })
  if (cached !== undefined && (cached.complete || settings.offline)) return fromCache(cached)
  if (settings.offline) throw await notCached(id, revision, settings)
  try {
    return await download(id, revision, settings, options)
  } catch (error) {
    // What is missing is optional (a tokenizer, say): without a network, what is there has to do.
    if (cached !== undefined && isLowrankError(error) && error.code === 'network') return fromCache(cached)
    if (isLowrankError(error) && error.code === 'missing' && error.suggestion === undefined)
      throw new LowrankError('missing', error.message, { field: error.field, suggestion: await similar(id, settings) })
    throw error
  }
}

async function download(
  id: string,
  revision: string,
  settings: HubSettings,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  const { onEvent, signal, retryDelayMs } = options
  const subject = { id, revision }
  // Asked first, so that a misspelt id leaves no folder behind.
  const model = await listModel(settings, subject, signal)
  const lock = await lockRepository(repositoryFolder(settings.cache, id), signal)
  try {
    // Another process may have brought it while this one waited.
    const brought = await findSnapshot(settings.cache, id, revision)
    if (brought?.complete === true) return { folder: brought.folder, source: 'cache', id, commit: brought.commit }
    const { folder, commit } = await downloadSnapshot({ settings, subject, model, onEvent, signal, retryDelayMs })
    return { folder, source: 'download', id, commit }
  } finally {
    await lock.release()
  }
}

/** Waits for other downloads of the same repository: two would write the same partial files. */
async function lockRepository(folder: string, signal: AbortSignal | undefined): Promise<Lock> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (error) {
    throw fileError(error, folder, 'write')
  }
  for (;;) {
    try {
      return await acquireLock(folder)
    } catch (error) {
      if (!isLowrankError(error) || error.code !== 'locked') throw error
    }
    if (signal?.aborted === true) throw new LowrankError('stopped', 'the download was stopped')
    await sleep(200)
  }
}

async function notCached(id: string, revision: string, settings: HubSettings): Promise<LowrankError> {
  const what = revision === 'main' ? id : `${id} at revision ${revision}`
  return new LowrankError(
    'missing',
    `${what} is not in the cache ${settings.cache}, and offline it cannot be downloaded`,
    {
      field: id,
      suggestion: (await similar(id, settings)) ?? 'run once without --offline and HF_HUB_OFFLINE',
    },
  )
}

async function similar(id: string, settings: HubSettings): Promise<string | undefined> {
  const known = (await cachedIds(settings.cache)).filter((name) => name !== id)
  const [near] = nearest(id, known)
  return near === undefined ? undefined : `the cache holds ${near}`
}

async function noFolder(path: string): Promise<LowrankError> {
  const parent = dirname(resolve(path))
  let names: string[] = []
  try {
    names = await readdir(parent)
  } catch {
    // the parent is not there either: nothing to suggest
  }
  const [near] = nearest(basename(path), names)
  return new LowrankError('missing', `there is no folder ${path}`, {
    file: path,
    suggestion:
      near === undefined
        ? 'a model is a folder or a Hugging Face id (owner/name)'
        : `did you mean ${join(dirname(path), near)}?`,
  })
}
