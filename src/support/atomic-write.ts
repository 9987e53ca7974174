/**
 * @file Writes files and folders so that a reader, or a crash at any moment, sees the old or the new, never a part:
 * temporary name beside the target, fsync, rename, fsync of the parent.
 * Must not know any file format.
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { LowrankError } from './errors.ts'
import { fileError, makeFolder, pathKind, systemCode } from './files.ts'

/** One write call takes at most 2 GiB − 1; stay well under it. */
const CHUNK = 1 << 30
/** Not the drafts of a lock: another process may be trying to take it at this moment. */
const TEMPORARY = /^\.(?!lowrank\.lock).*\.[0-9]+-[0-9a-f]{8}\.tmp$/

/** Appends bytes to the file being written. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void>
}

/** Replaces `file` by `data` atomically; its folder must exist. @throws {LowrankError} `io`, leaving no temporary file. */
export async function writeFileAtomic(file: string, data: Uint8Array | string): Promise<void> {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
  await writeAtomically(file, (sink) => sink.write(bytes))
}

/** Replaces `file` atomically by what `fill` writes, in order. Whatever `fill` throws leaves the old file in place. */
export async function writeAtomically(file: string, fill: (sink: Sink) => Promise<void>): Promise<void> {
  const temporary = temporaryName(file)
  try {
    const handle = await open(temporary, 'wx')
    try {
      await fill({ write: (bytes) => writeAll(handle, bytes) })
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
    await syncFolder(dirname(file))
  } catch (error) {
    await rm(temporary, { force: true })
    throw writeError(error, file)
  }
}

/**
 * Makes the folder `target` appear at once with everything `fill` put into the temporary folder it is given.
 * An empty folder at `target` is taken over; one that holds something is refused unless `replace` is set (then there is
 * an instant in which neither is there: a crash in it leaves the new folder under its temporary name).
 */
export async function writeFolderAtomic(
  target: string,
  fill: (folder: string) => Promise<void>,
  options: { replace?: boolean } = {},
): Promise<void> {
  const temporary = temporaryName(target)
  const aside = temporaryName(target)
  try {
    await makeFolder(dirname(resolve(target)))
    await mkdir(temporary)
    await fill(temporary)
    await syncTree(temporary)
    if (options.replace === true && (await pathKind(target)) !== undefined) await rename(target, aside)
    await rename(temporary, target)
    await syncFolder(dirname(resolve(target)))
    await rm(aside, { recursive: true, force: true })
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw writeError(error, target)
  }
}

/** Deletes what writers that died left in `folder`. Only for a folder whose lock is held: nobody else writes there. */
export async function removeTemporaries(folder: string): Promise<void> {
  try {
    for (const name of await readdir(folder))
      if (TEMPORARY.test(name)) await rm(join(folder, name), { recursive: true, force: true })
  } catch (error) {
    throw fileError(error, folder, 'clean')
  }
}

/** Makes renames in a folder last through a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open a folder for this, and journals renames by itself.
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Some network and FUSE file systems have no fsync for folders.
    if (systemCode(error) !== 'EINVAL' && systemCode(error) !== 'ENOTSUP') throw error
  } finally {
    await handle.close()
  }
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await syncTree(path)
    else if (entry.isFile()) {
      const handle = await open(path, 'r+')
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    }
  }
  await syncFolder(folder)
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(CHUNK, bytes.length - done))
    done += bytesWritten
  }
}

function temporaryName(path: string): string {
  const whole = resolve(path)
  return join(dirname(whole), `.${basename(whole)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`)
}

function writeError(error: unknown, path: string): unknown {
  if (systemCode(error) !== 'ENOENT') return fileError(error, path, 'write')
  return new LowrankError('io', `cannot write ${path}: its folder does not exist`, { file: path, cause: error })
}
