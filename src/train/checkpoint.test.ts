import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { f32 } from '../tensor/host-tensor.ts'
import {
  freshProgress,
  listCheckpoints,
  newestCheckpoint,
  type Progress,
  pruneCheckpoints,
  readCheckpointState,
  saveCheckpoint,
} from './checkpoint.ts'

const root = mkdtempSync(join(tmpdir(), 'lowrank-checkpoint-'))
afterAll(() => rmSync(root, { recursive: true }))
let output = ''
let count = 0
beforeEach(() => {
  output = join(root, String(count++))
  mkdirSync(output)
})

const at = (step: number): Progress => ({
  ...freshProgress(),
  step,
  cursor: { epoch: 1, index: step },
  tokens: 12 * step,
  seconds: 0.1,
  evaluation: { loss: 0.1 + 0.2, step, metrics: { accuracy: 0.7 } },
})
const save = (step: number): Promise<string> =>
  saveCheckpoint(output, { progress: at(step), fingerprint: 'same' }, { p: f32([2], [step, 0.1]) }, async (folder) => {
    writeFileSync(join(folder, 'weights'), String(step))
  })

describe('checkpoints', () => {
  it('give back what they were given, number for number', async () => {
    await save(3)
    await save(10)
    const newest = await newestCheckpoint(output)
    expect(newest).toMatchObject({ fingerprint: 'same', progress: at(10) })
    expect(newest && [...((await readCheckpointState(newest)).p?.data ?? [])]).toEqual([10, Math.fround(0.1)])
    expect(readFileSync(join(output, 'checkpoint-10', 'weights'), 'utf8')).toBe('10')
  })

  it('are numbered by step, and half-written folders are none', async () => {
    for (const name of ['checkpoint-2', 'checkpoint-10', '.checkpoint-11.tmp', 'checkpoint-x', 'checkpoint-12.part'])
      mkdirSync(join(output, name))
    expect(await listCheckpoints(output)).toEqual([2, 10])
    expect(await listCheckpoints(join(output, 'nowhere'))).toEqual([])
    expect(await newestCheckpoint(join(output, 'nowhere'))).toBeUndefined()
  })

  it('leave nothing behind when their weights cannot be written', async () => {
    const broken = saveCheckpoint(output, { progress: at(4), fingerprint: 'same' }, {}, async () => {
      throw new Error('disk full')
    })
    await expect(broken).rejects.toThrow('disk full')
    expect(existsSync(join(output, 'checkpoint-4'))).toBe(false)
    expect(await listCheckpoints(output)).toEqual([])
  })

  it('go, but for the newest and the best', async () => {
    for (const step of [1, 2, 3, 4, 5]) await save(step)
    await pruneCheckpoints(output, 2, 1)
    expect(await listCheckpoints(output)).toEqual([1, 4, 5])
  })

  it.each([
    ['another format', (state: Record<string, unknown>) => ({ ...state, format: 99 })],
    ['no cursor', ({ cursor: _, ...state }: Record<string, unknown>) => state],
    ['a step that is text', (state: Record<string, unknown>) => ({ ...state, step: '3' })],
    [
      'a window with a hole',
      (state: Record<string, unknown>) => ({ ...state, window: { loss: 1, tokens: 2, seconds: 3 } }),
    ],
  ])('are refused by name with %s', async (_, spoil) => {
    await save(3)
    const file = join(output, 'checkpoint-3', 'trainer_state.json')
    writeFileSync(file, JSON.stringify(spoil(JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>)))
    await expect(newestCheckpoint(output)).rejects.toMatchObject({ code: 'format', file })
  })
})
