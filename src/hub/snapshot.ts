/**
 * @file Downloads what lowrank uses of a model repository into the Hugging Face cache: configuration, tokenizer,
 * weights: safetensors, or the torch files of old repositories that have nothing else.
 * Must not know how a model argument was written.
 */
import { copyFile, mkdir, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { parseWeightIndex } from '../formats/weights-folder.ts'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { fileError, pathKind, readJson, systemCode } from '../support/files.ts'
import { repositoryFolder, SMALL_FILES, type Snapshot, WEIGHTS, type WeightNames } from './cache.ts'
import type { RemoteFile, RemoteModel, Subject } from './client.ts'
import { type DownloadContext, downloadBlob } from './download.ts'
import type { HubSettings } from './settings.ts'

export type DownloadEvent =
  /** What will be there at the end; `received` is what the cache held already. */
  | { type: 'download-start'; id: string; revision: string; files: number; bytes: number }
  | {
      type: 'download-progress'
      id: string
      file: string
      received: number
      bytes: number
      allReceived: number
      allBytes: number
    }
  | { type: 'download-retry'; id: string; reason: string }
  | { type: 'download-done'; id: string; folder: string }

export interface SnapshotOptions {
  settings: HubSettings
  subject: Subject
  /** What the hub lists for the subject. */
  model: RemoteModel
  onEvent?: ((event: DownloadEvent) => void) | undefined
  signal?: AbortSignal | undefined
  /** Wait before the first retry of a broken connection. @default 500 */
  retryDelayMs?: number | undefined
}

/**
 * Brings a revision into the cache and returns its snapshot folder. Files that are there are not fetched again.
 * @throws {LowrankError} `missing`, `network`, `unsupported` (weights in files that are not read), `io`, `stopped`.
 */
export async function downloadSnapshot(options: SnapshotOptions): Promise<Snapshot> {
  const { settings, subject, model } = options
  const small = pick(model, SMALL_FILES)
  const names = weightNames(model)
  const repository = repositoryFolder(settings.cache, subject.id)
  const folder = join(repository, 'snapshots', model.commit)
  const fetcher = new Fetcher(repository, folder, model, options)
  const whole = pick(model, names.whole)
  // The index is small and says which weights there are: everything but the weights comes first.
  const index = whole.length === 0 ? pick(model, [names.index]) : []
  for (const file of index) await fetcher.fetch(file)
  const weights = index.length === 0 ? whole : await shardsOf(model, folder, names.index)
  await fetcher.fetchAll([...small, ...index, ...weights])
  await noteAbsent(repository, model)
  if (subject.revision !== model.commit) await writeRef(repository, subject.revision, model.commit)
  options.onEvent?.({ type: 'download-done', id: subject.id, folder })
  return { folder, commit: model.commit, complete: true }
}

/** Fetches files of one repository and keeps count over all of them. */
class Fetcher {
  readonly #repository: string
  readonly #folder: string
  readonly #options: SnapshotOptions
  readonly #commit: string
  readonly #received = new Map<string, number>()
  #allBytes = 0

  constructor(repository: string, folder: string, model: RemoteModel, options: SnapshotOptions) {
    this.#repository = repository
    this.#folder = folder
    this.#commit = model.commit
    this.#options = options
  }

  async fetchAll(files: RemoteFile[]): Promise<void> {
    this.#allBytes = files.reduce((sum, file) => sum + file.bytes, 0)
    const { id, revision } = this.#options.subject
    this.#options.onEvent?.({ type: 'download-start', id, revision, files: files.length, bytes: this.#allBytes })
    for (const file of files) await this.fetch(file)
  }

  async fetch(file: RemoteFile): Promise<void> {
    const { settings, subject, signal, onEvent, retryDelayMs = 500 } = this.#options
    const context: DownloadContext = {
      settings,
      subject,
      commit: this.#commit,
      signal,
      retryDelayMs,
      onBytes: (received) => this.#report(file, received),
      onRetry: (reason) => onEvent?.({ type: 'download-retry', id: subject.id, reason }),
    }
    const blob = await downloadBlob(join(this.#repository, 'blobs'), file, context)
    await linkBlob(blob, join(this.#folder, file.path))
  }

  #report(file: RemoteFile, received: number): void {
    this.#received.set(file.path, received)
    if (this.#allBytes === 0) return
    let allReceived = 0
    for (const bytes of this.#received.values()) allReceived += bytes
    const { id } = this.#options.subject
    const event = { id, file: file.path, received, bytes: file.bytes, allReceived, allBytes: this.#allBytes }
    this.#options.onEvent?.({ type: 'download-progress', ...event })
  }
}

function pick(model: RemoteModel, names: readonly string[]): RemoteFile[] {
  return model.files.filter((file) => names.includes(file.path))
}

/** The kind of weights to take: the first that the repository has. */
function weightNames(model: RemoteModel): WeightNames {
  const found = WEIGHTS.find(({ whole, index }) => pick(model, [...whole, index]).length > 0)
  if (found) return found
  const torch = model.files.find((file) => /\.(bin|pt|pth)$/.test(file.path))
  if (torch !== undefined)
    throw new LowrankError(
      'unsupported',
      `${model.id} has its weights only as ${torch.path}, which is no file of transformers or PEFT`,
      {
        field: model.id,
        suggestion: 'use a model or revision with safetensors',
      },
    )
  throw new LowrankError('missing', `${model.id} has no safetensors weights`, { field: model.id })
}

async function shardsOf(model: RemoteModel, folder: string, index: string): Promise<RemoteFile[]> {
  const file = join(folder, index)
  const shards = new Set(parseWeightIndex(await readJson(file), file).values())
  return [...shards].sort().map((shard) => {
    const [found] = pick(model, [shard])
    if (found === undefined)
      throw new LowrankError('missing', `${model.id}: ${index} names the shard ${shard}, which the repository lacks`, {
        file,
      })
    return found
  })
}

/** A relative link, so that the cache can be moved; a copy where the system has no links. */
async function linkBlob(blob: string, path: string): Promise<void> {
  try {
    if ((await pathKind(path)) !== undefined) return
    await mkdir(dirname(path), { recursive: true })
    await symlink(relative(dirname(path), blob), path)
  } catch (error) {
    const code = systemCode(error)
    if (code === 'EEXIST') return
    if (code !== 'EPERM' && code !== 'ENOTSUP') throw fileError(error, path, 'write')
    await copyFile(blob, path)
  }
}

/** Notes which optional files the repository lacks, as huggingface_hub does, so that nobody asks again. */
async function noteAbsent(repository: string, model: RemoteModel): Promise<void> {
  const folder = join(repository, '.no_exist', model.commit)
  await mkdir(folder, { recursive: true })
  for (const name of SMALL_FILES) if (pick(model, [name]).length === 0) await writeFileAtomic(join(folder, name), '')
}

async function writeRef(repository: string, revision: string, commit: string): Promise<void> {
  const file = join(repository, 'refs', revision)
  await mkdir(dirname(file), { recursive: true })
  await writeFileAtomic(file, commit)
}
