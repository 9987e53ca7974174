/**
 * @file Arrays of numbers by key: in memory up to a budget, then in a file that nobody else sees and that is gone with the
 * process, however that ends. Must not know what the numbers are.
 */
import { randomUUID } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { invariant } from './errors.ts'
import { fileError } from './files.ts'

interface Place {
  readonly start: number
  readonly length: number
}

export class SpillStore {
  /** Bytes kept in memory. */
  memoryBytes = 0
  /** Bytes written to the file. */
  diskBytes = 0
  readonly #memoryBudget: () => number
  readonly #held = new Map<string, Float32Array>()
  readonly #places = new Map<string, Place>()
  #file: FileHandle | undefined

  /** @param memoryBudget bytes that may be in memory, asked each time: others may have taken some since */
  constructor(memoryBudget: () => number) {
    this.#memoryBudget = memoryBudget
  }

  has(key: string): boolean {
    return this.#held.has(key) || this.#places.has(key)
  }

  /** @throws LowrankError `io` where the file cannot be read */
  async get(key: string): Promise<Float32Array> {
    const held = this.#held.get(key)
    if (held) return held
    const place = this.#places.get(key)
    invariant(place && this.#file, `nothing is stored under ${key}`)
    const bytes = new Uint8Array(place.length * 4)
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, place.start).catch((error: unknown) => {
      throw fileError(error, tmpdir(), 'read')
    })
    invariant(bytesRead === bytes.length, `${key} is cut short`)
    return new Float32Array(bytes.buffer)
  }

  /** Takes the array over. @throws LowrankError `io` where the disk is full */
  async set(key: string, values: Float32Array): Promise<void> {
    if (this.has(key)) return
    if (this.memoryBytes + values.byteLength <= this.#memoryBudget()) {
      this.#held.set(key, values)
      this.memoryBytes += values.byteLength
      return
    }
    this.#file ??= await openUnseen()
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    await this.#file.write(bytes, 0, bytes.length, this.diskBytes).catch((error: unknown) => {
      throw fileError(error, tmpdir(), 'write')
    })
    this.#places.set(key, { start: this.diskBytes, length: values.length })
    this.diskBytes += bytes.length
  }

  async close(): Promise<void> {
    this.#held.clear()
    this.#places.clear()
    await this.#file?.close()
  }
}

/** A file without a name: it lasts as long as it is open. */
async function openUnseen(): Promise<FileHandle> {
  const path = join(tmpdir(), `lowrank-${randomUUID()}`)
  try {
    const file = await open(path, 'wx+', 0o600)
    await unlink(path)
    return file
  } catch (error) {
    throw fileError(error, path, 'write')
  }
}
