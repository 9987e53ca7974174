import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tinyBert, tinyLlama, writeRows, writeTinyModel } from '../../test/setup/tiny-model.ts'
import { isLowrankError, type LowrankError } from '../support/errors.ts'
import { inspect } from './inspect.ts'
import type { StudyEvent, StudyOptions, StudyResult } from './study/types.ts'
import { study } from './study.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-study-'))
const at = (...parts: string[]): string => join(lab, ...parts)
afterAll(() => rmSync(lab, { recursive: true, force: true }))

let base: Record<string, unknown>
beforeAll(async () => {
  await writeTinyModel(at('bert'), tinyBert)
  await writeTinyModel(at('llama'), tinyLlama)
  const row = (i: number) => ({ text: `${i % 2 === 0 ? 'good' : 'bad'} ${i}`, label: i % 2 === 0 ? 'good' : 'bad' })
  const data = writeRows(
    at('rows.jsonl'),
    Array.from({ length: 16 }, (_, i) => row(i)),
  )
  const evalData = writeRows(at('held.jsonl'), [...[0, 2, 4].map(row), row(1)])
  base = { model: at('bert'), data, evalData, method: 'full', steps: 3, evalEvery: 1, batchSize: 4, learningRate: 1e-3 }
})

async function run(
  options: StudyOptions & { signal?: AbortSignal },
): Promise<{ result: StudyResult; events: StudyEvent[] }> {
  const events: StudyEvent[] = []
  const generator = study(options)
  for (;;) {
    const next = await generator.next()
    if (next.done) return { result: next.value, events }
    events.push(next.value)
  }
}

async function complaint(options: StudyOptions): Promise<LowrankError> {
  try {
    await run(options)
  } catch (error) {
    if (isLowrankError(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const finished = (events: readonly StudyEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'run' ? [event.run.folder] : []))

describe('a study', () => {
  it('runs every setting with every seed, and keeps little of each', async () => {
    const output = at('plain')
    const settings = [{ name: 'one' }, { name: 'two', steps: 2 }]
    const { result, events } = await run({ base, settings, seeds: 2, output })
    expect(finished(events)).toEqual([1, 2].flatMap((seed) => [`runs/one/seed-${seed}`, `runs/two/seed-${seed}`]))
    expect(result).toMatchObject({ metric: 'accuracy', total: 4, output })
    expect(result.stopped).toBeUndefined()
    expect(result.groups.map(({ name, n, runs }) => [name, n, runs])).toEqual([
      ['one', 2, 2],
      ['two', 2, 2],
    ])
    const [first] = result.runs
    expect(first).toMatchObject({ status: 'done', steps: 3, constant: { accuracy: 0.75, matthews: 0 } })
    expect(first?.evaluations.map(({ step }) => step)).toEqual([1, 2, 3])
    expect(first?.value).toBe(first?.evaluations.at(-1)?.figures.accuracy)
    for (const one of result.runs) expect(one.failed).toBe((one.value ?? 0) <= 0.75)
    expect(readdirSync(at('plain/runs/one/seed-1')).sort()).toEqual(
      ['report.html', 'run.yaml', 'train_results.json', 'trainer_log.jsonl'].sort(),
    )
    expect(JSON.parse(readFileSync(at('plain/study.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(result)))
    const page = readFileSync(at('plain/study.html'), 'utf8')
    expect(page).toMatch(/^<!doctype html>/)
    expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org)|<script/)
  })

  it('does only what is missing when it is asked to go on, and may grow', async () => {
    const output = at('plain')
    const settings = [{ name: 'one' }, { name: 'two', steps: 2 }]
    const before = readFileSync(at('plain/runs/one/seed-1.json'), 'utf8')
    rmSync(at('plain/runs/two/seed-2.json'))
    rmSync(at('plain/runs/two/seed-2'), { recursive: true })
    const { result, events } = await run({ base, settings, seeds: 3, output, resume: true })
    expect(finished(events)).toEqual(['runs/two/seed-2', 'runs/one/seed-3', 'runs/two/seed-3'])
    expect(result.runs).toHaveLength(6)
    expect(readFileSync(at('plain/runs/one/seed-1.json'), 'utf8')).toBe(before)
    const again = await run({ base, settings, seeds: 3, output, resume: true, metric: 'loss' })
    expect(finished(again.events)).toEqual([])
    expect(again.result).toMatchObject({ metric: 'loss' })
    expect(again.result.runs.map(({ value }) => value)).toEqual(result.runs.map(({ figures }) => figures.loss))
  })

  it('is refused in the folder of another, and of anything else', async () => {
    const settings = [{ name: 'one' }, { name: 'two', steps: 2 }]
    const options = { base, settings, seeds: 3, output: at('plain') }
    expect(await complaint(options)).toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/holds a study already/),
    })
    expect(await complaint({ ...options, resume: true, base: { ...base, learningRate: 1 } })).toMatchObject({
      message: expect.stringMatching(/setting "one": learning-rate is 1, not 0.001/),
    })
    expect(await complaint({ ...options, output: lab, resume: true })).toMatchObject({
      message: expect.stringMatching(/holds files already/),
    })
  })

  it('takes a run whose numbers stop being numbers for failed, and goes on', async () => {
    const settings = [{ name: 'wild', learningRate: 1e30, maxGradNorm: 0 }, { name: 'tame' }]
    const { result } = await run({ base, settings, seeds: 1, output: at('wild') })
    expect(result.metric).toBe('accuracy')
    expect(result.runs).toMatchObject([
      {
        setting: 'wild',
        status: 'crashed',
        value: null,
        failed: true,
        error: expect.stringMatching(/NaN|not a number|norm/),
      },
      { setting: 'tame', status: 'done' },
    ])
    expect(result.groups[0]).toMatchObject({ n: 0, runs: 1, failed: 1, failedShare: 1, mean: null })
    expect(result.differences[0]).toMatchObject({ n: 0 })
  })

  it('finds what is wrong with a setting before the first run', async () => {
    const output = at('never')
    expect(await complaint({ base: { ...base, data: at('none.jsonl') }, output })).toMatchObject({ code: 'missing' })
    expect(
      await complaint({ base, settings: [{ name: 'a' }, { name: 'b', adapter: at('none') }], output }),
    ).toBeDefined()
    const { evalData: _, ...blind } = base
    expect(await complaint({ base: blind, output })).toMatchObject({
      message: expect.stringMatching(/rows held out, and there are none/),
    })
    expect(existsSync(output)).toBe(false)
  })

  it('counts by the test rows where there are some', async () => {
    const testData = writeRows(at('test.jsonl'), [{ text: 'bad 1', label: 'bad' }])
    const { result } = await run({ base: { ...base, testData }, seeds: 1, output: at('tested') })
    const [only] = result.runs
    expect([0, 1]).toContain(only?.value)
    expect(only).toMatchObject({ constant: { accuracy: 1 }, failed: true })
    expect(only?.evaluations).toHaveLength(3)
  })

  it('stops by its signal, says so, and goes on', async () => {
    const controller = new AbortController()
    const options = { base: { ...base, steps: 6 }, seeds: 2, output: at('stopped') }
    const generator = study({ ...options, signal: controller.signal })
    let stopped: StudyResult | undefined
    for (;;) {
      const next = await generator.next()
      if (next.done) {
        stopped = next.value
        break
      }
      if (next.value.type === 'run') controller.abort()
    }
    expect(stopped).toMatchObject({ stopped: true, total: 2 })
    expect(stopped?.runs).toHaveLength(1)
    const whole = await run({ ...options, output: at('unstopped') })
    const { result } = await run({ ...options, resume: true })
    const figures = (one: StudyResult) => one.runs.map(({ value, evaluations }) => ({ value, evaluations }))
    expect(figures(result)).toEqual(figures(whole.result))
  })

  it('is told by inspect', async () => {
    const { kind, study: facts } = await inspect(at('plain'))
    expect(kind).toBe('study')
    expect(facts).toMatchObject({ settings: 2, seeds: 3, done: 6, total: 6, metric: 'loss' })
    expect(facts?.groups.map(({ name, n }) => [name, n])).toEqual([
      ['one', 3],
      ['two', 3],
    ])
  })

  it('says that a record was tampered with, and which', async () => {
    writeFileSync(at('stopped/runs/base/seed-1.json'), '{}')
    const options = { base: { ...base, steps: 6 }, seeds: 2, output: at('stopped'), resume: true }
    expect(await complaint(options)).toMatchObject({
      ...{ code: 'format', message: expect.stringMatching(/seed-1\.json is no record/) },
    })
  })
})
