import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { isLowrankError } from '../support/errors.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { bufferSource } from './byte-source.ts'
import { readSafetensors } from './tensor-files.ts'
import { parseTorch, readTorchFile, readTorchHeader, readTorchTensors, torchRef } from './torch-file.ts'

/** Made by torch.save: scripts/goldens/torch_files.py. */
const goldens = fileURLToPath(new URL('../../test/goldens/torch', import.meta.url))
const expected = await readSafetensors(join(goldens, 'expected.safetensors'))
const CASES = ['state', 'types', 'views', 'module', 'wrapped']

function of(name: string): Map<string, HostTensor> {
  const prefix = `${name}/`
  const found = [...expected].filter(([key]) => key.startsWith(prefix))
  return new Map(found.map(([key, value]) => [key.slice(prefix.length), value]))
}

const plain = (tensors: ReadonlyMap<string, HostTensor>): unknown =>
  Object.fromEntries([...tensors].map(([name, { dtype, shape, data }]) => [name, { dtype, shape: [...shape], data }]))

describe('torch files', () => {
  it.each(CASES.flatMap((name) => [[`${name}.bin`, name] as const, [`${name}-legacy.bin`, name] as const]))(
    '%s reads as torch does',
    async (file, name) => {
      const wanted = of(name)
      expect(wanted.size).toBeGreaterThan(0)
      expect(plain(await readTorchFile(join(goldens, file)))).toEqual(plain(wanted))
    },
  )

  it('reads newer pickles too', async () => {
    expect(plain(await readTorchFile(join(goldens, 'protocol-5.bin')))).toEqual(plain(of('types')))
  })

  it('widens half floats, shares what is tied, and names what is no tensor', async () => {
    const state = await readTorchFile(join(goldens, 'state.bin'), { as: 'f32' })
    expect([...state.values()].map(({ dtype }) => dtype)).toEqual(['f32', 'f32', 'f32'])
    const views = await readTorchFile(join(goldens, 'views.bin'))
    expect(views.get('tied')).toBe(views.get('head'))
    expect((await readTorchHeader(join(goldens, 'wrapped.bin'))).others).toEqual([])
    expect((await readTorchHeader(join(goldens, 'wrapped.bin'))).entries.size).toBe(1)
  })

  it.each(['views.bin', 'views-legacy.bin'])('%s: the place of a tensor is where its bytes lie', async (name) => {
    const file = join(goldens, name)
    const { entries } = await readTorchHeader(file)
    const bytes = readFileSync(file)
    for (const key of ['rows', 'tail', 'offset']) {
      const entry = entries.get(key)
      const wanted = of('views').get(key)
      if (!entry || !wanted) throw new Error(`no ${key}`)
      const ref = torchRef(file, entry)
      expect(bytes.subarray(ref.offset, ref.offset + ref.bytes)).toEqual(Buffer.from(wanted.data.buffer))
    }
    const transposed = entries.get('transposed')
    expect(transposed?.contiguous).toBe(false)
    expect(() => transposed && torchRef(file, transposed)).toThrow(/transposed of .* is stored transposed/)
  })

  it('lists types that it does not compute with, and refuses to read them by name', async () => {
    const file = join(goldens, 'unread-types.bin')
    const { entries } = await readTorchHeader(file)
    expect([...entries.values()].map(({ name, dtype }) => [name, dtype])).toEqual([
      ['ushort', 'u16'],
      ['double', 'f64'],
    ])
    await expect(readTorchFile(file)).rejects.toMatchObject({ code: 'unsupported', message: /ushort .*u16/ })
  })
})

describe('hostile torch files are refused, and nothing is run', () => {
  const refusals: Record<string, { code: string; says: RegExp }> = {
    system: { code: 'unsupported', says: /hostile\/system\.bin: its pickle asks for (posix|os|nt)\.system/ },
    'system-legacy': { code: 'unsupported', says: /system-legacy\.bin: its pickle asks for (posix|os|nt)\.system/ },
    eval: { code: 'unsupported', says: /asks for (__builtin__|builtins)\.eval/ },
    state: { code: 'unsupported', says: /asks for (posix|os|nt)\.system/ },
    getattr: { code: 'unsupported', says: /asks for (__builtin__|builtins)\.getattr/ },
    module: { code: 'unsupported', says: /asks for torch\.nn\.modules\.linear\.Linear/ },
    quantized: { code: 'unsupported', says: /asks for torch\./ },
    sparse: { code: 'unsupported', says: /asks for torch\./ },
    inst: { code: 'unsupported', says: /uses INST at byte/ },
    compressed: { code: 'unsupported', says: /data\.pkl" compressed/ },
    expanded: { code: 'format', says: /tensor w .*repeats elements/ },
    tensor: { code: 'format', says: /holds a tensor, not a dictionary/ },
    'long-text': { code: 'format', says: /cut short/ },
    'long-number': { code: 'format', says: /integer of 2147483647 bytes/ },
    deep: { code: 'format', says: /takes a value that is not there/ },
    nested: { code: 'format', says: /holds a list, not a dictionary/ },
    memo: { code: 'format', says: /holds no tensors/ },
    recall: { code: 'format', says: /recalls value 5/ },
  }

  it('each golden has its refusal', () => {
    const files = readdirSync(join(goldens, 'hostile')).map((name) => name.replace(/\.bin$/, ''))
    expect(files.sort()).toEqual(Object.keys(refusals).sort())
  })

  it.each(Object.entries(refusals))('%s', async (name, { code, says }) => {
    const file = join(goldens, 'hostile', `${name}.bin`)
    await expect(readTorchFile(file)).rejects.toMatchObject({ name: 'LowrankError', code, file, message: says })
    expect(existsSync('/tmp/lowrank-was-here')).toBe(false)
  })

  it.each(['state.bin', 'state-legacy.bin'])('%s cut anywhere', async (name) => {
    const bytes = readFileSync(join(goldens, name))
    for (let length = 0; length < bytes.length; length += 7) {
      const error = await readTorchTensors(bufferSource('cut.bin', bytes.subarray(0, length))).catch((e: unknown) => e)
      expect(isLowrankError(error) && error.file).toBe('cut.bin')
    }
  })

  it('a storage that claims more than there is', async () => {
    const bytes = Buffer.from(readFileSync(join(goldens, 'types-legacy.bin')))
    // The count of the storage of `f32` in the pickle: BININT1 2 before the device's end.
    const at = bytes.indexOf(Buffer.from('cpu'))
    const count = bytes.indexOf(Buffer.from([0x4b, 2]), at)
    bytes[count + 1] = 200
    await expect(parseTorch(bufferSource('big.bin', bytes))).rejects.toMatchObject({ code: 'format' })
  })

  it('an archive whose entries overlap', async () => {
    const bytes = Buffer.from(readFileSync(join(goldens, 'state.bin')))
    const directory = bytes.indexOf(Buffer.from([0x50, 0x4b, 1, 2]))
    const second = bytes.indexOf(Buffer.from([0x50, 0x4b, 1, 2]), directory + 4)
    bytes.copy(bytes, second + 42, directory + 42, directory + 46)
    await expect(parseTorch(bufferSource('lap.bin', bytes))).rejects.toMatchObject({ code: 'format', message: /lap/ })
  })

  it('an archive with a false number of entries, or a directory elsewhere', async () => {
    const original = readFileSync(join(goldens, 'state.bin'))
    const end = original.lastIndexOf(Buffer.from([0x50, 0x4b, 6, 6])) // torch always writes the zip64 record
    for (const at of [32, 40, 48]) {
      const bytes = Buffer.from(original)
      bytes.writeUInt16LE(0xfff0, end + at)
      await expect(parseTorch(bufferSource('odd.bin', bytes))).rejects.toMatchObject({ code: 'format' })
    }
  })
})
