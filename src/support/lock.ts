/**
 * @file A lock file against two writers in one folder, taken over when its process is gone.
 * Must not know what is written there. A process is known by pid and start time (/proc), so a reused pid is no owner.
 */
import { randomBytes } from 'node:crypto'
import { link, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { LowrankError } from './errors.ts'
import { fileError, systemCode } from './files.ts'
import { isRecord } from './json.ts'

export const LOCK_FILE = '.lowrank.lock'

export interface Lock {
  readonly file: string
  /** True where a dead process's lock was taken over: its work was cut off. */
  readonly takenOver: boolean
  /** Gives the lock back. Safe to call twice. */
  release(): Promise<void>
}

interface Owner {
  pid: number
  host: string
  /** Boot id and start time in clock ticks since boot: unlike a pid, never used twice. Empty where /proc is missing. */
  started: string
}

/** Locks an existing folder for this process. @throws {LowrankError} `locked`, naming the live owner. */
export async function acquireLock(folder: string): Promise<Lock> {
  const file = join(folder, LOCK_FILE)
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), started: (await startOf(process.pid)) ?? '' })
  let takenOver = false
  // Each round either wins, meets a live owner, or removes one dead lock; others may be doing the same.
  for (let round = 0; round < 5; round++) {
    if (await create(file, mine)) return { file, takenOver, release: () => release(file, mine) }
    const held = await contents(file)
    if (held === undefined) continue
    const owner = parseOwner(held)
    if (owner !== undefined && (await isAlive(owner))) throw lockedBy(owner, folder, file)
    takenOver = (await removeDead(file, held)) || takenOver
  }
  throw new LowrankError('locked', `cannot lock ${folder}: other processes keep taking it`, { file })
}

function lockedBy(owner: Owner, folder: string, file: string): LowrankError {
  const elsewhere = owner.host !== hostname()
  const who = elsewhere ? `process ${owner.pid} on ${owner.host}` : `process ${owner.pid}`
  return new LowrankError('locked', `${folder} is in use by ${who}`, {
    file,
    suggestion: elsewhere ? `if that process is gone, delete ${file}` : 'wait for it to end, or stop it',
  })
}

/** Makes the lock appear with its contents in one step: a reader never sees an empty one. False where one stands. */
async function create(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    await writeFile(draft, text, { flag: 'wx' })
    await link(draft, file)
    return true
  } catch (error) {
    const code = systemCode(error)
    if (code === 'EEXIST') return false
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'EOPNOTSUPP') return createWithoutLinks(file, text)
    throw fileError(error, file, 'write')
  } finally {
    await rm(draft, { force: true })
  }
}

/** For file systems without hard links. */
async function createWithoutLinks(file: string, text: string): Promise<boolean> {
  try {
    await writeFile(file, text, { flag: 'wx' })
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw fileError(error, file, 'write')
  }
}

/** Moves a dead lock away. Where another process was quicker and its new lock got moved, that one is put back. */
async function removeDead(file: string, expected: string): Promise<boolean> {
  const aside = `${file}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  try {
    await rename(file, aside)
    const moved = await contents(aside)
    if (moved !== expected) await link(aside, file)
    return moved === expected
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'EEXIST') return false
    throw fileError(error, file, 'take over')
  } finally {
    await rm(aside, { force: true })
  }
}

async function release(file: string, mine: string): Promise<void> {
  if ((await contents(file)) === mine) await unlink(file)
}

async function contents(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw fileError(error, file, 'read')
  }
}

function parseOwner(text: string): Owner | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isRecord(value) || typeof value.pid !== 'number' || !Number.isSafeInteger(value.pid)) return undefined
    if (value.pid <= 0 || typeof value.host !== 'string' || typeof value.started !== 'string') return undefined
    return { pid: value.pid, host: value.host, started: value.started }
  } catch {
    return undefined
  }
}

async function isAlive(owner: Owner): Promise<boolean> {
  if (owner.host !== hostname()) return true // cannot be told from here
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false
  }
  if (process.platform !== 'linux') return true
  const started = await startOf(owner.pid)
  return started !== undefined && (owner.started === '' || started === owner.started)
}

/** Identity of a running process on Linux; undefined where it is gone or a zombie, '' on other systems. */
async function startOf(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return ''
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // "pid (any name) state ppid …": field 3 is the state, field 22 the start time (proc_pid_stat(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    return `${await bootId()} ${fields[19] ?? ''}`
  } catch {
    return undefined
  }
}

async function bootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  } catch {
    return '' // some sandboxes hide it; the start time alone has to do
  }
}
