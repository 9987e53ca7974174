import { describe, expect, it } from 'vitest'
import { LowrankError } from '../support/errors.ts'
import { f32, type HostTensor, i64, tensor } from '../tensor/host-tensor.ts'
import { HEADER_CAP, parseSafetensors, serializeSafetensors } from './safetensors.ts'

/** A file of any header text and any number of data bytes. */
function file(header: unknown, dataBytes: number, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const bytes = new Uint8Array(8 + json.length + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true)
  bytes.set(json, 8)
  return bytes
}

function failure(bytes: Uint8Array): LowrankError {
  try {
    parseSafetensors(bytes, 'w.safetensors')
  } catch (error) {
    if (error instanceof LowrankError) return error
    throw error
  }
  throw new Error('was accepted')
}

const at = (begin: unknown, end: unknown, shape: unknown = [2], dtype: unknown = 'F32'): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
})

describe('parseSafetensors', () => {
  it('lists tensors in the order of their bytes, with absolute offsets', () => {
    const bytes = file({ __metadata__: { format: 'pt' }, b: at(8, 12, [1, 1]), a: at(0, 8), e: at(12, 12, [0, 3]) }, 12)
    const { entries, metadata, dataOffset } = parseSafetensors(bytes)
    expect([...entries.keys()]).toEqual(['a', 'b', 'e'])
    expect(metadata).toEqual({ format: 'pt' })
    expect(entries.get('b')).toEqual({ name: 'b', dtype: 'f32', shape: [1, 1], offset: dataOffset + 8, bytes: 4 })
    expect(entries.get('e')?.bytes).toBe(0)
  })

  it('lists dtypes it does not compute with', () => {
    const { entries } = parseSafetensors(file({ d: at(0, 16, [2], 'F64'), q: at(16, 17, [1], 'F8_E4M3') }, 17))
    expect([...entries.values()].map((e) => e.dtype)).toEqual(['f64', 'f8_e4m3'])
  })

  const refused: [string, Uint8Array, RegExp][] = [
    ['an empty file', new Uint8Array(0), /holds 0 bytes/],
    ['a length alone', file('', 0), /has no header/],
    ['a huge header', file({}, 0, BigInt(HEADER_CAP) + 1n), /claims a header of 100000001 bytes/],
    ['a length of 2^64 − 1', file({}, 0, 2n ** 64n - 1n), /claims a header of 18446744073709551615/],
    ['a header longer than the file', file({}, 0, 3n), /cut short/],
    ['another file', file('GGUF', 0), /does not begin with {/],
    ['torn JSON', file('{"a":', 0), /not valid JSON.*line 1, column 6/],
    ['a key twice', file(`{"a":${JSON.stringify(at(0, 8))},"a":${JSON.stringify(at(0, 8))}}`, 8), /"a" stands twice/],
    ['a hidden escape of a key twice', file(`{"a":${JSON.stringify(at(0, 8))},"\\u0061":1}`, 8), /stands twice/],
    ['truncated data', file({ a: at(0, 8) }, 4), /"a" lies at bytes 0–8 of 4/],
    ['data left over', file({ a: at(0, 8) }, 9), /1 bytes that belong to no tensor/],
    ['a hole', file({ a: at(0, 8), b: at(9, 17) }, 17), /hole of 1 bytes before tensor "b"/],
    ['a hole at the front', file({ b: at(4, 12) }, 12), /hole of 4 bytes/],
    ['an overlap', file({ a: at(0, 8), b: at(4, 12) }, 12), /"b" overlaps/],
    ['offsets that run backwards', file({ a: at(8, 0) }, 8), /"a" lies at/],
    ['a negative offset', file({ a: at(-8, 0) }, 8), /data_offsets \[-8,0\]/],
    ['an offset beyond exact numbers', file({ a: at(0, 2 ** 60) }, 8), /data_offsets/],
    ['a fractional offset', file({ a: at(0, 8.5) }, 8), /data_offsets/],
    ['a fractional extent', file({ a: at(0, 8, [2.5]) }, 8), /shape \[2.5\]/],
    ['a negative extent', file({ a: at(0, 8, [-2]) }, 8), /shape \[-2\]/],
    ['a shape whose product overflows', file({ a: at(0, 8, [2 ** 50, 2 ** 50]) }, 8), /too large/],
    ['a shape that is not a list', file({ a: at(0, 8, { length: 1 }) }, 8), /shape/],
    ['a shape that disagrees with its bytes', file({ a: at(0, 8, [3]) }, 8), /needs 12 bytes, its offsets give 8/],
    ['an unknown dtype', file({ a: at(0, 8, [2], 'F12') }, 8), /dtype "F12"/],
    ['a dtype from Object.prototype', file({ a: at(0, 8, [2], 'toString') }, 8), /dtype "toString"/],
    ['metadata that is not text', file({ __metadata__: { a: 1 } }, 0), /__metadata__/],
    ['bytes that are not UTF-8', file('{"\xff', 0).fill(0xff, 9), /not UTF-8|claims/],
  ]
  it.each(refused)('refuses %s', (_, bytes, message) => {
    const error = failure(bytes)
    expect(error.code).toBe('format')
    expect(error.message).toMatch(message)
    expect(error.file).toMatch(/w\.safetensors/)
  })
})

describe('serializeSafetensors', () => {
  const tensors = new Map<string, HostTensor>([
    ['z', f32([2], [1, -2])],
    ['é.weight', tensor('bf16', [1, 3], Uint16Array.of(1, 2, 3))],
    ['ids', i64([2], [7, -1])],
    ['a', f32([], [5])],
    ['mask', tensor('bool', [1], Uint8Array.of(1))],
  ])

  it('keeps every tensor, aligned to its size, the same bytes whatever the order', () => {
    const bytes = serializeSafetensors(tensors)
    expect(serializeSafetensors(new Map([...tensors].reverse()))).toEqual(bytes)
    const { entries, dataOffset, metadata } = parseSafetensors(bytes)
    expect(metadata).toEqual({ format: 'pt' })
    expect(dataOffset % 8).toBe(0)
    expect([...entries.keys()]).toEqual(['ids', 'a', 'z', 'é.weight', 'mask'])
    for (const [name, { data, shape, dtype }] of tensors) {
      const entry = entries.get(name)
      expect(entry).toMatchObject({ dtype, shape, bytes: data.byteLength })
      const held = bytes.slice(entry?.offset, (entry?.offset ?? 0) + (entry?.bytes ?? 0))
      expect(held).toEqual(new Uint8Array(data.buffer))
    }
  })

  it('writes a file of no tensors', () => {
    expect(parseSafetensors(serializeSafetensors(new Map())).entries.size).toBe(0)
  })
})
