/** `bench` without a peer: every shape it takes, down to the profile's page; what it cannot measure is refused. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tinyBert, tinyGpt2, tinyLlama, writeJson, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { idRows, type Json, labFolder, refuse, succeed } from './lab.ts'

const lab = labFolder()
const quick = ['--no-peer', '--steps', '2', '--batch-size', '2', '--sequence', '16', '--threads', '1']

async function measured(
  ...args: string[]
): Promise<Json & { lowrank: Json; settings: Json; limit: Json; model: Json }> {
  const { result } = await succeed(['bench', ...quick, ...args])
  const found = result as Awaited<ReturnType<typeof measured>>
  for (const [name, value] of Object.entries({ ...found.lowrank, ...found.limit }))
    expect(Number.isFinite(value) && Number(value) > (name === 'padding' ? -1 : 0), name).toBe(true)
  return found
}

describe('bench', () => {
  it('measures a decoder’s shape from its config alone', async () => {
    const config = join(lab, 'llama.json')
    writeJson(config, tinyLlama)
    const { settings, model, withoutPeer } = await measured('--from-config', config)
    expect(settings).toMatchObject({ sequence: 16, batchSize: 2, task: 'causal-lm' })
    expect(model).toMatchObject({ name: config })
    expect(withoutPeer).toMatch(/not asked for/)
  })

  it('measures a decoder whose weights stand the other way round', async () => {
    const config = join(lab, 'gpt2.json')
    writeJson(config, tinyGpt2)
    await measured('--from-config', config)
  })

  it('measures an encoder’s shape as a classifier of two labels', async () => {
    const config = join(lab, 'bert.json')
    writeJson(config, tinyBert)
    expect((await measured('--from-config', config)).settings).toMatchObject({ task: 'classification' })
  })

  it('measures a model on rows as they are, pairs among them', async () => {
    const folder = await writeTinyModel(join(lab, 'encoder'), tinyBert)
    const pairs = Array.from({ length: 9 }, (_, i) => ({
      ...{ text: `row ${i}`, text_pair: 'the hen '.repeat(1 + (i % 3)), label: i % 2 ? 'even' : 'odd' },
    }))
    const rows = writeRows(join(lab, 'pairs.jsonl'), pairs)
    const { settings, lowrank } = await measured('--model', folder, '--data', rows)
    // Nine rows are four batches; two steps take two of them.
    expect(settings).toMatchObject({ task: 'classification', data: { rows: 4 } })
    expect(Number(lowrank.padding)).toBeLessThan(1)
  })

  it('writes where the time of a step goes', async () => {
    const folder = await writeTinyModel(join(lab, 'encoder'), tinyBert)
    const page = join(lab, 'profile.html')
    const { profile } = await measured('--model', folder, '--profile', '--output', page)
    expect(JSON.stringify(profile)).toContain('dropoutMask')
    expect(readFileSync(page, 'utf8')).toContain('matmul')
  })

  it('refuses fewer rows than a batch, and a model and a config at once', async () => {
    const folder = await writeTinyModel(join(lab, 'decoder'))
    const rows = writeRows(join(lab, 'one.jsonl'), idRows(1))
    const few = ['bench', ...quick, '--model', folder, '--data', rows]
    await refuse(few, { exit: 1, says: /1 rows do not make a batch of 2/ })
    const both = ['bench', '--model', folder, '--from-config', join(folder, 'config.json')]
    await refuse(both, { exit: 2, says: [/--model/, /--from-config/] })
  })
})
