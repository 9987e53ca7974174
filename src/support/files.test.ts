import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { removeTemporaries, writeAtomically, writeFileAtomic, writeFolderAtomic } from './atomic-write.ts'
import { fileBytes, fileError, pathKind, readBounded, readJson, readRange } from './files.ts'
import { parseJson } from './json.ts'
import { acquireLock, LOCK_FILE } from './lock.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-files-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))
const path = (name: string): string => join(folder, name)

describe('reading', () => {
  it('reads a range and refuses one beyond the end before allocating it', async () => {
    await writeFile(path('a'), 'hello')
    expect(Buffer.from(await readRange(path('a'), 1, 3)).toString()).toBe('ell')
    await expect(readRange(path('a'), 1, 2 ** 50)).rejects.toMatchObject({ code: 'format', file: path('a') })
  })

  it('names a missing file, a folder, and a file above its bound', async () => {
    await expect(readRange(path('no'), 0, 1)).rejects.toMatchObject({ code: 'missing', file: path('no') })
    await expect(fileBytes(folder)).rejects.toMatchObject({ code: 'io', message: /is not a file/ })
    await writeFile(path('a'), 'hello')
    await expect(readBounded(path('a'), 4)).rejects.toThrow(/has 5 bytes; a file of its kind has at most 4/)
    expect([await pathKind(folder), await pathKind(path('a')), await pathKind(path('a/b'))]).toEqual([
      'folder',
      'file',
      undefined,
    ])
  })

  it('says line and column of broken JSON', async () => {
    await writeFile(path('c.json'), '{\n  "a": 1,\n  "b": tru\n}')
    await expect(readJson(path('c.json'))).rejects.toMatchObject({
      code: 'format',
      file: `${path('c.json')}:3`,
      message: /expected a value at line 3, column 8/,
    })
  })
})

describe('parseJson', () => {
  it('reads what JSON.parse reads', () => {
    const text = '{"__proto__":[1,-2.5e3,"\\u00e9\\n\\\\"],"a":{"b":null,"c":[true,false,{}]},"":[]}'
    expect(parseJson(text, { uniqueKeys: true })).toEqual(JSON.parse(text))
    expect(parseJson(`"${'x'.repeat(5_000_000)}"`, { uniqueKeys: true })).toHaveLength(5_000_000)
  })

  it.each([
    ['', 'the text ends early at line 1, column 1'],
    ['[1,]', 'expected a value at line 1, column 4'],
    ['{"a":1,}', 'expected a key in double quotes at line 1, column 8'],
    ['{"a" 1}', 'expected : at line 1, column 6'],
    ['[1 2]', 'expected , or ] at line 1, column 4'],
    ['["a\nb"]', 'a control character inside a string at line 1, column 4'],
    ['["\\x"]', 'an unknown escape at line 1, column 3'],
    ['["a', 'a string that does not end at line 1, column 4'],
    ['{} x', 'more text after the end at line 1, column 4'],
    ['[NaN]', 'expected a value at line 1, column 2'],
    ['[01]', 'expected , or ] at line 1, column 3'],
    ['['.repeat(300) + ']'.repeat(300), 'nesting deeper than 256 at line 1, column 258'],
    ['['.repeat(100_000), 'nesting deeper than 256 at line 1, column 258'],
  ])('locates the fault in %.20s', (text, where) => {
    expect(() => parseJson(text, { file: 'x.json' })).toThrow(`x.json is not valid JSON: ${where}`)
  })
})

describe('writing', () => {
  it('replaces a file and leaves nothing else', async () => {
    await writeFileAtomic(path('a'), 'one')
    await writeFileAtomic(path('a'), 'two')
    expect(await readFile(path('a'), 'utf8')).toBe('two')
    expect(await readdir(folder)).toEqual(['a'])
  })

  it('keeps the old file when writing fails midway, and cleans up', async () => {
    await writeFileAtomic(path('a'), 'old')
    const failing = writeAtomically(path('a'), async (sink) => {
      await sink.write(Buffer.from('new'))
      throw new Error('midway')
    })
    await expect(failing).rejects.toThrow('midway')
    expect(await readFile(path('a'), 'utf8')).toBe('old')
    expect(await readdir(folder)).toEqual(['a'])
  })

  it.skipIf(process.platform !== 'linux')('names the file when the disk is full', async () => {
    const full = writeAtomically(path('a'), async () => {
      await writeFile('/dev/full', 'x')
    })
    await expect(full).rejects.toMatchObject({ code: 'io', file: path('a'), message: /the disk is full/ })
    expect(await readdir(folder)).toEqual([])
  })

  it('says in words what the system refuses', async () => {
    await expect(writeFileAtomic(path('no/a'), 'x')).rejects.toMatchObject({
      code: 'io',
      message: /its folder does not exist/,
    })
    const refusal = Object.assign(new Error('x'), { code: 'EROFS' })
    expect(fileError(refusal, '/r/a', 'write')).toMatchObject({
      code: 'io',
      message: 'cannot write /r/a: the file system is read-only',
    })
  })

  it('makes a folder appear whole, refuses a full one, replaces on request', async () => {
    const fill = (text: string) => async (to: string) => {
      await mkdir(join(to, 'sub'))
      await writeFile(join(to, 'sub/f'), text)
    }
    await writeFolderAtomic(path('x/run'), fill('one'))
    await expect(writeFolderAtomic(path('x/run'), fill('two'))).rejects.toMatchObject({
      code: 'io',
      file: path('x/run'),
    })
    expect(await readFile(path('x/run/sub/f'), 'utf8')).toBe('one')
    await writeFolderAtomic(path('x/run'), fill('three'), { replace: true })
    expect(await readFile(path('x/run/sub/f'), 'utf8')).toBe('three')
    expect(await readdir(path('x'))).toEqual(['run'])
  })

  it('removes what dead writers left, and nothing else', async () => {
    await writeFile(path('.a.json.123-0123abcd.tmp'), '')
    await writeFile(path('.keep.tmp'), '')
    await removeTemporaries(folder)
    expect(await readdir(folder)).toEqual(['.keep.tmp'])
  })
})

describe('acquireLock', () => {
  const plant = (owner: object): Promise<void> => writeFile(path(LOCK_FILE), JSON.stringify(owner))

  it('keeps a second writer out until it is released', async () => {
    const lock = await acquireLock(folder)
    expect(lock.takenOver).toBe(false)
    await expect(acquireLock(folder)).rejects.toMatchObject({
      code: 'locked',
      message: new RegExp(`process ${process.pid}`),
    })
    await lock.release()
    await lock.release()
    await (await acquireLock(folder)).release()
    expect(await readdir(folder)).toEqual([])
  })

  it('gives the lock to exactly one of many', async () => {
    await plant({ pid: 2 ** 22 + 1, host: hostname(), started: 'x 1' })
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(folder)))
    expect(tries.filter((t) => t.status === 'fulfilled')).toHaveLength(1)
  })

  it('takes over the lock of a killed process', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    await once(child, 'spawn')
    const started = process.platform === 'linux' ? startOf(child.pid ?? 0) : ''
    await plant({ pid: child.pid, host: hostname(), started })
    await expect(acquireLock(folder)).rejects.toMatchObject({ code: 'locked' })
    child.kill('SIGKILL')
    await once(child, 'exit')
    const lock = await acquireLock(folder)
    expect(lock.takenOver).toBe(true)
  })

  it.skipIf(process.platform !== 'linux')('is not fooled by another process with the same pid', async () => {
    await plant({ pid: process.pid, host: hostname(), started: 'earlier-boot 12' })
    expect((await acquireLock(folder)).takenOver).toBe(true)
  })

  it('takes over a torn lock and respects one of another machine', async () => {
    await writeFile(path(LOCK_FILE), '{"pid":')
    await (await acquireLock(folder)).release()
    await plant({ pid: 1, host: `not-${hostname()}`, started: '' })
    await expect(acquireLock(folder)).rejects.toMatchObject({ code: 'locked', suggestion: /delete/ })
  })

  it('says where a folder is missing', async () => {
    await expect(acquireLock(path('no'))).rejects.toMatchObject({ code: 'missing' })
  })
})

function startOf(pid: number): string {
  const stat = execFileSync('cat', [`/proc/${pid}/stat`], { encoding: 'utf8' })
  const boot = execFileSync('cat', ['/proc/sys/kernel/random/boot_id'], { encoding: 'utf8' }).trim()
  return `${boot} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
}
