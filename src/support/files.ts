/**
 * @file Reads files by range and in bounds, and turns what the operating system says into one clear error.
 * Must not know any file format.
 */
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { LowrankError } from './errors.ts'
import { parseJsonBytes } from './json.ts'

/** One read call takes at most 2 GiB − 1; stay well under it. */
const CHUNK = 1 << 30
/** Larger than any config, index or template that exists; bounds what a hostile file can make us allocate. */
const JSON_CAP = 64 * 1024 * 1024

const SAYS: Record<string, string> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a folder, not a file',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  EEXIST: 'it exists already',
  ENOTEMPTY: 'it exists already and is not empty',
}

/** The `code` of a Node system error ("ENOENT"), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/**
 * The error to throw when doing something with `file` failed: `missing` where it is not there, `io` otherwise.
 * An error that is ours already passes unchanged. `doing` is a verb: "read", "write".
 */
export function fileError(error: unknown, file: string, doing: string): unknown {
  const code = systemCode(error)
  if (error instanceof LowrankError || code === undefined) return error
  if (code === 'ENOENT') return new LowrankError('missing', `cannot ${doing} ${file}: it does not exist`, { file })
  return new LowrankError('io', `cannot ${doing} ${file}: ${SAYS[code] ?? `the system says ${code}`}`, {
    file,
    cause: error,
  })
}

/** Size in bytes of a regular file. @throws {LowrankError} `missing` or `io`. */
export async function fileBytes(file: string): Promise<number> {
  try {
    const found = await stat(file)
    if (!found.isFile()) throw new LowrankError('io', `cannot read ${file}: it is not a file`, { file })
    return found.size
  } catch (error) {
    throw fileError(error, file, 'read')
  }
}

/** What stands at a path, links followed: 'file', 'folder', or undefined for nothing. */
export async function pathKind(path: string): Promise<'file' | 'folder' | undefined> {
  try {
    const found = await stat(path)
    return found.isDirectory() ? 'folder' : 'file'
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') return undefined
    throw fileError(error, path, 'read')
  }
}

/**
 * Reads exactly `bytes` bytes from `offset`, in a buffer of their own (so that typed arrays can view it unshifted).
 * The file's size is checked before anything is allocated. @throws {LowrankError} `format` where the file is shorter.
 */
export async function readRange(file: string, offset: number, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const handle = await open(file, 'r')
    try {
      const size = (await handle.stat()).size
      if (offset + bytes > size) throw cutShort(file, offset + bytes, size)
      return await readInto(handle, file, offset, new Uint8Array(bytes))
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw fileError(error, file, 'read')
  }
}

/** Reads a whole file of at most `cap` bytes. @throws {LowrankError} `format` where it is larger. */
export async function readBounded(file: string, cap: number): Promise<Uint8Array<ArrayBuffer>> {
  const size = await fileBytes(file)
  if (size > cap)
    throw new LowrankError('format', `${file} has ${size} bytes; a file of its kind has at most ${cap}`, { file })
  return readRange(file, 0, size)
}

/** Makes a folder and those above it. @throws {LowrankError} `io` with what the system really says. */
export async function makeFolder(folder: string): Promise<void> {
  const failure = await mkdir(folder, { recursive: true }).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (failure === undefined) return
  // Node says ENOENT of a folder it may not make (a read-only file system): ask again for the first one that is missing.
  const real = systemCode(failure) === 'ENOENT' ? await reasonAgainst(resolve(folder)) : undefined
  throw fileError(real ?? failure, folder, 'create')
}

async function reasonAgainst(folder: string): Promise<unknown> {
  if ((await pathKind(dirname(folder))) === undefined) return await reasonAgainst(dirname(folder))
  return await mkdir(folder).then(
    () => undefined,
    (error: unknown) => error,
  )
}

/** Reads and parses a JSON file of at most `cap` bytes. @throws {LowrankError} naming file, line and column. */
export async function readJson(file: string, cap = JSON_CAP): Promise<unknown> {
  return parseJsonBytes(await readBounded(file, cap), { file })
}

async function readInto(
  handle: FileHandle,
  file: string,
  offset: number,
  into: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, Math.min(CHUNK, into.length - done), offset + done)
    if (bytesRead === 0) throw cutShort(file, offset + into.length, offset + done)
    done += bytesRead
  }
  return into
}

function cutShort(file: string, needed: number, size: number): LowrankError {
  return new LowrankError('format', `${file} is cut short: ${needed} bytes are needed, it has ${size}`, { file })
}
