import { mkdir, mkdtemp, readdir, readFile, readlink, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FakeHub, type FakeRepository, sha256, startHub, TOKEN } from '../../test/setup/fake-hub.ts'
import { serializeSafetensors } from '../formats/safetensors.ts'
import { openWeights } from '../formats/weights-folder.ts'
import { f32 } from '../tensor/host-tensor.ts'
import { type ResolveOptions, resolveModel } from './resolve-model.ts'
import { hubSettings } from './settings.ts'
import type { DownloadEvent } from './snapshot.ts'

const COMMIT = 'a'.repeat(40)
const OTHER = 'b'.repeat(40)
const weights = (value: number): Buffer =>
  Buffer.from(serializeSafetensors(new Map([['w', f32([64, 64], new Array(4096).fill(value))]])))
const text = (content: string) => ({ data: Buffer.from(content), lfs: false })
const large = (data: Buffer) => ({ data, lfs: true })

const plain = (): FakeRepository => ({
  commit: COMMIT,
  revisions: ['main', 'refs/pr/1'],
  files: {
    'config.json': text('{"model_type":"llama"}'),
    'tokenizer.json': text('{}'),
    'README.md': text('# not needed'),
    'pytorch_model.bin': large(Buffer.alloc(5000)),
    'model.safetensors': large(weights(1)),
    'onnx/model.onnx': large(Buffer.alloc(5000)),
  },
})

let home = ''
let hub: FakeHub
let events: DownloadEvent[] = []
beforeEach(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), 'lowrank-hub-')))
  events = []
  hub = await startHub({ 'org/model': plain() })
})
afterEach(async () => {
  await hub.close()
  await rm(home, { recursive: true, force: true })
})

const resolve = (id: string, options: ResolveOptions & { token?: string } = {}) =>
  resolveModel(id, {
    env: { HF_HOME: home, HF_ENDPOINT: `${hub.url}/`, HF_TOKEN: options.token },
    onEvent: (event) => events.push(event),
    retryDelayMs: 1,
    ...options,
  })
const repository = (): string => join(home, 'hub/models--org--model')
const downloads = (): string[] => hub.log.filter((line) => line.includes('/resolve/'))

describe('resolveModel', () => {
  it('takes a folder as it is, and names the nearest where there is none', async () => {
    await mkdir(join(home, 'my-model'))
    expect(await resolve(join(home, 'my-model'))).toEqual({ folder: join(home, 'my-model'), source: 'folder' })
    await expect(resolve(join(home, 'my-modle'))).rejects.toMatchObject({
      code: 'missing',
      suggestion: `did you mean ${join(home, 'my-model')}?`,
    })
    await writeFile(join(home, 'file'), '')
    await expect(resolve(join(home, 'file'))).rejects.toMatchObject({ code: 'usage' })
    expect(hub.log).toEqual([])
  })

  it('downloads what a model needs, in the layout of the Hugging Face cache, and nothing twice', async () => {
    const found = await resolve('org/model')
    const snapshot = join(repository(), 'snapshots', COMMIT)
    expect(found).toEqual({ folder: snapshot, source: 'download', id: 'org/model', commit: COMMIT })
    expect((await readdir(snapshot)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'])
    expect(await readlink(join(snapshot, 'model.safetensors'))).toBe(`../../blobs/${sha256(weights(1))}`)
    expect(await readFile(join(repository(), 'refs/main'), 'utf8')).toBe(COMMIT)
    expect(await readdir(join(repository(), '.no_exist', COMMIT))).toContain('generation_config.json')
    expect((await readdir(repository())).sort()).toEqual(['.no_exist', 'blobs', 'refs', 'snapshots'])
    expect((await openWeights(snapshot)).ref('w').file).toBe(join(repository(), 'blobs', sha256(weights(1))))

    const last = events.filter((event) => event.type === 'download-progress').at(-1)
    expect(last).toMatchObject({ allReceived: last?.allBytes, received: last?.bytes })
    expect(events.map((event) => event.type)).toEqual(expect.arrayContaining(['download-start', 'download-done']))

    const asked = hub.log.length
    expect(await resolve('org/model')).toMatchObject({ folder: snapshot, source: 'cache' })
    expect(await resolve('org/model', { offline: true })).toMatchObject({ source: 'cache' })
    expect(hub.log.length).toBe(asked)
  })

  it('takes the revision asked for, by branch or commit', async () => {
    const older = {
      ...plain(),
      commit: OTHER,
      revisions: ['v1.0'],
      files: { ...plain().files, 'model.safetensors': large(weights(2)) },
    }
    hub.repositories['org/model'] = older
    const found = await resolve('org/model', { revision: 'v1.0' })
    expect(found.commit).toBe(OTHER)
    expect(await resolve('org/model', { revision: OTHER, offline: true })).toMatchObject({ folder: found.folder })
    await expect(resolve('org/model', { revision: 'v2' })).rejects.toMatchObject({
      code: 'missing',
      message: 'org/model has no revision v2',
    })
    await expect(resolve('org/model', { revision: '../x' })).rejects.toMatchObject({ code: 'usage', field: 'revision' })
  })

  it('downloads the shards that the index names, and no other weights', async () => {
    const index = { weight_map: { w: 'part-b.safetensors', v: 'part-a.safetensors' } }
    const a = Buffer.from(serializeSafetensors(new Map([['v', f32([1], [1])]])))
    hub.repositories['org/model'] = {
      ...plain(),
      files: {
        'config.json': text('{}'),
        'model.safetensors.index.json': text(JSON.stringify(index)),
        'part-a.safetensors': large(a),
        'part-b.safetensors': large(weights(3)),
        'consolidated.safetensors': large(weights(3)),
      },
    }
    const { folder } = await resolve('org/model')
    expect((await readdir(folder)).filter((name) => name.endsWith('.safetensors'))).toEqual([
      'part-a.safetensors',
      'part-b.safetensors',
    ])
    expect([...(await openWeights(folder)).refs.keys()].sort()).toEqual(['v', 'w'])
  })

  it('downloads an adapter', async () => {
    const files = { 'adapter_config.json': text('{}'), 'adapter_model.safetensors': large(weights(1)) }
    hub.repositories['org/model'] = { ...plain(), files }
    const { folder } = await resolve('org/model')
    expect((await readdir(folder)).sort()).toEqual(Object.keys(files))
    expect(await resolve('org/model', { offline: true })).toMatchObject({ source: 'cache' })
  })

  it('downloads the torch files of old repositories that have nothing else', async () => {
    const index = { weight_map: { w: 'pytorch_model-1.bin' } }
    hub.repositories['org/old'] = {
      ...plain(),
      files: { 'adapter_config.json': text('{}'), 'adapter_model.bin': large(weights(1)) },
    }
    hub.repositories['org/model'] = {
      ...plain(),
      files: {
        'config.json': text('{}'),
        'pytorch_model.bin.index.json': text(JSON.stringify(index)),
        'pytorch_model-1.bin': large(weights(2)),
      },
    }
    const adapter = await resolve('org/old')
    expect(await readFile(join(adapter.folder, 'adapter_model.bin'))).toEqual(weights(1))
    const model = await resolve('org/model')
    expect(await readFile(join(model.folder, 'pytorch_model-1.bin'))).toEqual(weights(2))
    const before = downloads().length
    expect((await resolve('org/model')).folder).toBe(model.folder)
    expect(downloads()).toHaveLength(before)
  })
})

describe('a connection that breaks', () => {
  it('is continued where it broke, in the same run', async () => {
    hub.cuts = [3000, 2000]
    const { folder } = await resolve('org/model')
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights(1))
    const ranges = downloads().filter((line) => line.includes('model.safetensors'))
    expect(ranges).toHaveLength(3)
    expect(ranges[1]).toMatch(/bytes=3000-/)
    expect(ranges[2]).toMatch(/bytes=5000-/)
    expect(events.filter((event) => event.type === 'download-retry')).toHaveLength(2)
  })

  it('is given up after tries without progress, and continued by the next run', async () => {
    hub.cuts = [4000, 0, 0, 0, 0, 0, 0, 0]
    await expect(resolve('org/model')).rejects.toMatchObject({
      code: 'network',
      message: /broke off at 4000|connection/,
    })
    const partial = join(repository(), 'blobs', `${sha256(weights(1))}.incomplete`)
    expect((await readFile(partial)).length).toBe(4000)
    await expect(resolve('org/model', { offline: true })).rejects.toMatchObject({ code: 'missing' })
    hub.cuts = []
    hub.log.length = 0
    const { folder } = await resolve('org/model')
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights(1))
    expect(downloads()).toEqual([expect.stringMatching(/model.safetensors bytes=4000-/)])
  })

  it('starts over where the server cannot continue', async () => {
    hub.ignoreRanges = true
    hub.cuts = [3000]
    const { folder } = await resolve('org/model')
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights(1))
  })

  it('throws a broken part of an earlier run away', async () => {
    await mkdir(join(repository(), 'blobs'), { recursive: true })
    await writeFile(join(repository(), 'blobs', `${sha256(weights(1))}.incomplete`), Buffer.alloc(3000, 7))
    const { folder } = await resolve('org/model')
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights(1))
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'download-retry', reason: expect.stringMatching(/broken part/) }),
    )
  })

  it('never names a file whose hash is wrong', async () => {
    hub.spoil = 'model.safetensors'
    await expect(resolve('org/model')).rejects.toMatchObject({
      code: 'network',
      message: /model.safetensors arrived with another hash/,
    })
    const blobs = await readdir(join(repository(), 'blobs'))
    expect(blobs.filter((name) => name.startsWith(sha256(weights(1))))).toEqual([])
  })

  it('stops when told to, and keeps what came', async () => {
    const stop = new AbortController()
    hub.cuts = [4000, 1, 1, 1, 1, 1, 1, 1, 1]
    const stopped = resolve('org/model', {
      signal: stop.signal,
      onEvent: (e) => e.type === 'download-retry' && stop.abort(),
    })
    await expect(stopped).rejects.toMatchObject({ code: 'stopped' })
    expect(await readdir(join(repository(), 'blobs'))).toContain(`${sha256(weights(1))}.incomplete`)
  })

  it('downloads once when two ask at the same time', async () => {
    const [one, two] = await Promise.all([resolve('org/model'), resolve('org/model')])
    expect(one.folder).toBe(two.folder)
    expect(downloads().filter((line) => line.includes('model.safetensors'))).toHaveLength(1)
  })
})

describe('what is refused', () => {
  it('offline: names the cache and the nearest model in it', async () => {
    await resolve('org/model')
    const env = { HF_HOME: home, HF_HUB_OFFLINE: '1' }
    await expect(resolveModel('org/modle', { env })).rejects.toMatchObject({
      code: 'missing',
      message: /org\/modle is not in the cache .*hub, and offline/,
      suggestion: 'the cache holds org/model',
    })
  })

  it('a missing token, a gated model, a wrong token', async () => {
    hub.repositories['org/model'] = { ...plain(), gate: 'private' }
    await expect(resolve('org/model')).rejects.toMatchObject({
      code: 'missing',
      message: /needs a token/,
      suggestion: /HF_TOKEN/,
    })
    await expect(resolve('org/model', { token: 'hf_wrong' })).rejects.toMatchObject({
      message: /this token may not read it/,
    })
    hub.repositories['org/model'] = { ...plain(), gate: 'gated' }
    await expect(resolve('org/model')).rejects.toMatchObject({ code: 'missing', message: /org\/model is gated/ })
  })

  it('sends the token to the hub and to nobody else; also one that was saved', async () => {
    hub.repositories['org/model'] = { ...plain(), gate: 'gated' }
    await writeFile(join(home, 'token'), `${TOKEN}\n`)
    expect(await resolve('org/model')).toMatchObject({ source: 'download' })
    expect(hub.leaked).toEqual([])
  })

  it('a model that is not there, leaving no folder behind', async () => {
    await expect(resolve('org/nothing', { token: TOKEN })).rejects.toMatchObject({
      code: 'missing',
      message: /there is no model org\/nothing/,
    })
    await expect(resolve('org/nothing')).rejects.toMatchObject({
      code: 'missing',
      message: /does not exist, or needs a token/,
    })
    expect(await readdir(home)).toEqual([])
  })

  it('weights in files of other programs, by name', async () => {
    hub.repositories['org/model'] = {
      ...plain(),
      files: { 'config.json': text('{}'), 'consolidated.00.pth': large(weights(1)) },
    }
    await expect(resolve('org/model')).rejects.toMatchObject({ code: 'unsupported', message: /consolidated.00.pth/ })
  })

  it('a hub that cannot be reached, unless the weights are there already', async () => {
    const { folder } = await resolve('org/model')
    await hub.close()
    const gone = await startHub({})
    await gone.close()
    const env = { HF_HOME: home, HF_ENDPOINT: gone.url }
    await expect(resolveModel('org/other', { env })).rejects.toMatchObject({
      code: 'network',
      message: `cannot reach ${gone.url}: the connection was refused`,
    })
    await rm(join(repository(), '.no_exist'), { recursive: true })
    expect(await resolveModel('org/model', { env })).toMatchObject({ folder, source: 'cache' })
    hub = await startHub({})
  })

  it('an answer that is no hub’s, and an endpoint that is no URL', async () => {
    hub.repositories['org/model'] = { ...plain(), commit: 'main' }
    await expect(resolve('org/model')).rejects.toMatchObject({
      code: 'network',
      message: /does not answer as a Hugging Face hub/,
    })
    await expect(resolveModel('a/b', { env: { HF_HOME: home, HF_ENDPOINT: 'nowhere' } })).rejects.toMatchObject({
      code: 'usage',
    })
  })
})

describe('hubSettings', () => {
  it('reads the variables huggingface_hub reads, the narrower first', async () => {
    const env = { HF_HOME: home, HF_HUB_OFFLINE: 'yes', HF_TOKEN: ' hf_x\n', HF_ENDPOINT: 'https://mirror.example/' }
    expect(await hubSettings(env)).toEqual({
      endpoint: 'https://mirror.example',
      cache: join(home, 'hub'),
      token: 'hf_x',
      offline: true,
    })
    expect((await hubSettings({ ...env, HF_HUB_CACHE: '/c' })).cache).toBe('/c')
    expect(await hubSettings({ XDG_CACHE_HOME: home })).toEqual({
      endpoint: 'https://huggingface.co',
      cache: join(home, 'huggingface/hub'),
      token: undefined,
      offline: false,
    })
  })
})
