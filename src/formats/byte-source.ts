/** @file Bytes that are read by range: a file on disk, or a buffer. Must not know what they hold. */
import { LowrankError } from '../support/errors.ts'
import { fileBytes, readRange } from '../support/files.ts'

export interface ByteSource {
  /** Named in errors. */
  readonly name: string
  readonly size: number
  /** Exactly these bytes. @throws {LowrankError} `format` where the source is shorter. */
  read(offset: number, bytes: number): Promise<Uint8Array>
}

/** A file, opened for each read. @throws {LowrankError} `missing` or `io`. */
export async function fileSource(file: string): Promise<ByteSource> {
  return { name: file, size: await fileBytes(file), read: (offset, bytes) => readRange(file, offset, bytes) }
}

/** A buffer that stands for a file. */
export function bufferSource(name: string, bytes: Uint8Array): ByteSource {
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    if (offset < 0 || length < 0 || offset + length > bytes.length)
      throw new LowrankError('format', `${name} is cut short: ${offset + length} bytes are needed`, { file: name })
    return bytes.slice(offset, offset + length)
  }
  return { name, size: bytes.length, read }
}
