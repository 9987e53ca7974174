/**
 * @file Downloads one file of a repository into the cache's blobs: continued where it broke off, checked by size and
 * hash, and only then given its name.
 * Must not know which files a model needs.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { downloadFile } from '@huggingface/hub'
import { syncFolder } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { fileError, pathKind } from '../support/files.ts'
import { connectionError, hubFetch, type RemoteFile, type Subject } from './client.ts'
import type { HubSettings } from './settings.ts'

/** Tries in a row that bring not a single byte. */
const TRIES = 5

/** A server answered a request for a range with the whole file. */
class NoRanges extends Error {}

export interface DownloadContext {
  settings: HubSettings
  subject: Subject
  /** Commit that `subject.revision` names. */
  commit: string
  signal?: AbortSignal | undefined
  /** Bytes of this file that are there, resumed ones included. */
  onBytes: (received: number) => void
  onRetry: (reason: string) => void
  /** Wait before the first retry; doubles with each. */
  retryDelayMs: number
}

/**
 * Makes `blobs/<oid>` exist and returns its path. What an earlier process left as `<oid>.incomplete` is continued.
 * @throws {LowrankError} `network` after several tries without progress or with a wrong hash; `io`; `missing`; `stopped`.
 */
export async function downloadBlob(blobs: string, file: RemoteFile, context: DownloadContext): Promise<string> {
  const blob = join(blobs, file.oid)
  if ((await pathKind(blob)) === 'file') {
    context.onBytes(file.bytes)
    return blob
  }
  const incomplete = `${blob}.incomplete`
  try {
    await mkdir(blobs, { recursive: true })
    // A part from an earlier process may be broken; bytes that come now are trusted only as far as the hash agrees.
    const resumed = (await pathKind(incomplete)) === 'file'
    await receive(incomplete, file, context)
    if (!(await isIntact(incomplete, file)) && resumed) {
      context.onRetry(`${file.path} had a broken part; starting over`)
      await rm(incomplete)
      await receive(incomplete, file, context)
    }
    if (!(await isIntact(incomplete, file))) throw await spoiled(incomplete, file, context)
    await rename(incomplete, blob)
    await syncFolder(blobs)
    return blob
  } catch (error) {
    throw fileError(error, incomplete, 'write')
  }
}

/** Appends to `incomplete` until it has every byte, trying again where the connection breaks. */
async function receive(incomplete: string, file: RemoteFile, context: DownloadContext): Promise<void> {
  const handle = await open(incomplete, 'a+')
  try {
    let have = (await handle.stat()).size
    if (have > file.bytes) {
      await handle.truncate(0)
      have = 0
    }
    let failures = 0
    let best = have
    context.onBytes(have)
    while (have < file.bytes) {
      const failure = await appendFrom(handle, have, file, context)
      have = (await handle.stat()).size
      if (failure === undefined) continue
      if (failure.code !== 'network') throw failure
      failures = have > best ? 1 : failures + 1
      best = Math.max(best, have)
      if (failures >= TRIES) throw failure
      context.onRetry(failure.message)
      await pause(context.retryDelayMs * 2 ** (failures - 1), context.signal)
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** One request for the bytes from `have` on. Returns what went wrong on the way; throws what the disk says. */
async function appendFrom(
  handle: FileHandle,
  have: number,
  file: RemoteFile,
  context: DownloadContext,
): Promise<LowrankError | undefined> {
  const { settings, subject, signal } = context
  // The library's stream passes on only the text of an error, so the error itself is kept aside here.
  const held: { error?: unknown } = {}
  const stream = await openStream(have, file, context, held)
  const reader = stream.getReader()
  let at = have
  for (;;) {
    let chunk: Awaited<ReturnType<typeof reader.read>>
    try {
      chunk = await reader.read()
    } catch (error) {
      if (!(held.error instanceof NoRanges)) return connectionError(held.error ?? error, settings.endpoint, signal)
      await handle.truncate(0)
      return new LowrankError('network', `${settings.endpoint} cannot continue ${file.path}; starting over`)
    }
    if (chunk.done) break
    at += chunk.value.length
    if (at > file.bytes) {
      await reader.cancel()
      return new LowrankError(
        'missing',
        `${settings.endpoint} sends more of ${subject.id}/${file.path} than it announced`,
      )
    }
    await handle.appendFile(chunk.value)
    context.onBytes(at)
  }
  if (at === file.bytes) return undefined
  return new LowrankError('network', `${subject.id}/${file.path} broke off at ${at} of ${file.bytes} bytes`)
}

async function openStream(
  have: number,
  file: RemoteFile,
  { settings, subject, commit, signal }: DownloadContext,
  held: { error?: unknown },
): Promise<ReadableStream<Uint8Array>> {
  const ask = hubFetch(settings, subject, signal)
  const path = file.path.split('/').map(encodeURIComponent).join('/')
  const blob = await downloadFile({
    repo: { type: 'model', name: subject.id },
    path: file.path,
    revision: commit,
    hubUrl: settings.endpoint,
    // Plain HTTP with ranges: what a mirror serves too, and what can be continued byte by byte.
    xet: false,
    downloadInfo: {
      size: file.bytes,
      etag: file.oid,
      url: `${settings.endpoint}/${subject.id}/resolve/${commit}/${path}`,
    },
    fetch: async (input, init) => {
      try {
        const response = await ask(input, init)
        const range = response.headers.get('Content-Range')
        if (have > 0 && range?.startsWith(`bytes ${have}-`) !== true) {
          await response.body?.cancel()
          throw new NoRanges()
        }
        return response
      } catch (error) {
        held.error = error
        throw error
      }
    },
  })
  if (blob === null) throw new LowrankError('missing', `${subject.id} has no file ${file.path}`)
  return blob.slice(have).stream()
}

/** Compares size and hash: sha256 of the contents, or git's sha1 of "blob <size>\0" and the contents. */
async function isIntact(path: string, file: RemoteFile): Promise<boolean> {
  const hash = createHash(file.hash === 'sha256' ? 'sha256' : 'sha1')
  if (file.hash === 'git') hash.update(`blob ${file.bytes}\0`)
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk)
  return hash.digest('hex') === file.oid
}

async function spoiled(incomplete: string, file: RemoteFile, { subject }: DownloadContext): Promise<LowrankError> {
  await rm(incomplete, { force: true })
  return new LowrankError(
    'network',
    `${subject.id}/${file.path} arrived with another hash than the hub announced; it was deleted`,
    {
      suggestion: 'try again; if it stays so, the hub or a proxy changes files',
    },
  )
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal })
  } catch {
    throw new LowrankError('stopped', 'the download was stopped')
  }
}
