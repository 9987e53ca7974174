import { copyFile, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sharedPath } from '../../test/setup/shared.ts'
import { f32, type HostTensor, tensor } from '../tensor/host-tensor.ts'
import { serializeSafetensors } from './safetensors.ts'
import { readSafetensors, readTensor, writeSafetensors } from './tensor-files.ts'
import { openWeights } from './weights-folder.ts'

let folder = ''
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'lowrank-weights-')))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const shard = (...names: string[]): Uint8Array => serializeSafetensors(new Map(names.map((n) => [n, f32([1], [1])])))
const put = (name: string, data: Uint8Array | string | object): Promise<void> =>
  writeFile(join(folder, name), data instanceof Uint8Array || typeof data === 'string' ? data : JSON.stringify(data))

describe('openWeights', () => {
  it('reads shards through symlinks, as the Hugging Face cache has them, and gives real paths', async () => {
    await mkdir(join(folder, 'blobs'))
    await mkdir(join(folder, 'snapshot'))
    await put('blobs/one', shard('a.weight'))
    await put('blobs/two', shard('b.weight', 'c.weight'))
    await symlink('../blobs/one', join(folder, 'snapshot/m-1.safetensors'))
    await symlink('../blobs/two', join(folder, 'snapshot/m-2.safetensors'))
    const map = { 'a.weight': 'm-1.safetensors', 'b.weight': 'm-2.safetensors', 'c.weight': 'm-2.safetensors' }
    await put('snapshot/model.safetensors.index.json', { weight_map: map })
    const weights = await openWeights(join(folder, 'snapshot'))
    expect([...weights.refs.keys()]).toEqual(['a.weight', 'b.weight', 'c.weight'])
    expect(weights.files).toEqual([join(folder, 'blobs/one'), join(folder, 'blobs/two')])
    expect(await readTensor(weights.ref('c.weight'))).toEqual(f32([1], [1]))
  })

  it('names the nearest tensor where one is missing', async () => {
    await put('model.safetensors', shard('model.norm.weight'))
    const weights = await openWeights(folder)
    expect(() => weights.ref('model.nrom.weight')).toThrow(
      expect.objectContaining({
        code: 'format',
        field: 'model.nrom.weight',
        suggestion: expect.stringContaining('model.norm.weight'),
      }),
    )
  })

  it('lists a tensor of another dtype and refuses it only when it is asked for', async () => {
    const json = '{"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}  '
    const bytes = new Uint8Array(8 + json.length + 8)
    new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true)
    bytes.set(new TextEncoder().encode(json), 8)
    await put('model.safetensors', bytes)
    const weights = await openWeights(folder)
    expect(weights.unreadable).toEqual(new Map([['d', 'f64']]))
    expect(() => weights.ref('d')).toThrow(/dtype f64/)
  })

  it('refuses a folder that is not there, one without weights, and torch files by name', async () => {
    await expect(openWeights(join(folder, 'no'))).rejects.toMatchObject({ code: 'missing', message: /no model folder/ })
    await expect(openWeights(folder)).rejects.toMatchObject({ code: 'missing', message: /no model.safetensors/ })
    await put('pytorch_model.bin', 'x')
    await expect(openWeights(folder)).rejects.toMatchObject({
      code: 'format',
      message: /pytorch_model.bin is no torch file/,
    })
  })

  it('takes torch files where there is no safetensors, whole or in shards', async () => {
    const goldens = fileURLToPath(new URL('../../test/goldens/torch', import.meta.url))
    const expected = await readSafetensors(join(goldens, 'expected.safetensors'))
    await copyFile(join(goldens, 'module.bin'), join(folder, 'pytorch_model.bin'))
    const whole = await openWeights(folder)
    expect(await readTensor(whole.ref('0.weight'))).toEqual(expected.get('module/0.weight'))
    await copyFile(join(goldens, 'module-legacy.bin'), join(folder, 'p-1.bin'))
    await rm(join(folder, 'pytorch_model.bin'))
    await put('pytorch_model.bin.index.json', { weight_map: { '0.weight': 'p-1.bin', '1.bias': 'p-1.bin' } })
    const shards = await openWeights(folder)
    expect([...shards.refs.keys()]).toEqual(['0.weight', '1.bias'])
    expect(await readTensor(shards.ref('0.weight'))).toEqual(expected.get('module/0.weight'))
    await put('model.safetensors', shard('a.weight'))
    expect([...(await openWeights(folder)).refs.keys()]).toEqual(['a.weight'])
  })

  it('refuses a torch file whose weights do not lie in order', async () => {
    const goldens = fileURLToPath(new URL('../../test/goldens/torch', import.meta.url))
    await copyFile(join(goldens, 'views.bin'), join(folder, 'pytorch_model.bin'))
    await expect(openWeights(folder)).rejects.toMatchObject({ code: 'unsupported', message: /transposed .*is stored/ })
  })

  const indexes: [string, unknown, RegExp][] = [
    ['a shard that is missing', { a: 'gone.safetensors' }, /names the shard gone.safetensors/],
    ['a tensor its shard lacks', { a: 'm.safetensors', aa: 'm.safetensors' }, /no tensor aa/],
    ['a path out of the folder', { a: '../m.safetensors' }, /outside the model folder/],
    ['a hidden path out of the folder', { a: 'x/../../m.safetensors' }, /outside the model folder/],
    ['an absolute path', { a: '/etc/m.safetensors' }, /outside the model folder/],
    ['a torch shard', { a: 'm.bin' }, /not a .safetensors file/],
    ['a number for a shard', { a: 1 }, /not a file name/],
    ['no map', undefined, /weight_map/],
  ]
  it.each(indexes)('refuses an index with %s', async (_, map, message) => {
    await put('m.safetensors', shard('a'))
    await put('model.safetensors.index.json', { weight_map: map })
    await expect(openWeights(folder)).rejects.toThrow(message)
  })
})

describe('writeSafetensors', () => {
  it('asks for one tensor at a time and leaves the old file when one fails', async () => {
    const path = join(folder, 'w.safetensors')
    await writeSafetensors(path, new Map([['a', f32([1], [3])]]))
    const before = await readFile(path)
    const spec = { name: 'b', dtype: 'f32', shape: [1] } as const
    const failing = [{ ...spec, data: () => Promise.reject(new Error('no')) }]
    await expect(writeSafetensors(path, failing)).rejects.toThrow('no')
    expect(await readFile(path)).toEqual(before)
    const lazy = [
      { ...spec, data: () => f32([1], [4]) },
      { ...spec, name: 'a', data: async () => f32([1], [5]) },
    ]
    await writeSafetensors(path, lazy)
    expect(await readSafetensors(path)).toEqual(
      new Map([
        ['a', f32([1], [5])],
        ['b', f32([1], [4])],
      ]),
    )
  })

  it('widens half floats on request', async () => {
    const path = join(folder, 'w.safetensors')
    const half: HostTensor = tensor('f16', [2], Uint16Array.of(0x3c00, 0xc000))
    await writeSafetensors(path, new Map([['h', half]]))
    expect((await readSafetensors(path)).get('h')).toEqual(half)
    expect((await readSafetensors(path, { as: 'f32' })).get('h')).toEqual(f32([2], [1, -2]))
  })
})

const sharded = sharedPath('conformance/cases/llama3-rope')
describe.skipIf(sharded === undefined)('files that Python wrote', () => {
  it('opens a sharded model', async () => {
    const weights = await openWeights(join(sharded ?? '', 'model'))
    expect(weights.files).toHaveLength(7)
    expect(weights.ref('model.embed_tokens.weight')).toMatchObject({ dtype: 'f32', shape: [320, 32], bytes: 40960 })
  })

  it('writes an adapter back byte for byte', async () => {
    const path = join(sharded ?? '', 'adapter/adapter_model.safetensors')
    expect(Buffer.from(serializeSafetensors(await readSafetensors(path)))).toEqual(await readFile(path))
  })

  const minilm = sharedPath('data/models/minilm-l6-v2')
  it.skipIf(minilm === undefined)('reads an f16 model', async () => {
    const weights = await openWeights(minilm ?? '')
    const norm = await readTensor(weights.ref('embeddings.LayerNorm.weight'), { as: 'f32' })
    expect(norm).toMatchObject({ dtype: 'f32', shape: [384] })
    expect(norm.data.every((x) => Math.abs(Number(x)) < 10)).toBe(true)
  })
})
