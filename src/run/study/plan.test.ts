import { describe, expect, it } from 'vitest'
import { parseRunFile } from '../../config/run-file.ts'
import { studyVerb } from '../../config/verbs/study.ts'
import { isLowrankError, type LowrankError } from '../../support/errors.ts'
import { planStudy } from './plan.ts'
import { refuseAnother, savedPlan } from './same-study.ts'
import type { StudyOptions } from './types.ts'

const base = { model: 'm', data: 'd.jsonl' }

function complaint(work: () => unknown): LowrankError {
  try {
    work()
  } catch (error) {
    if (isLowrankError(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}

/** Options as a file gives them. */
function fromFile(text: string): StudyOptions {
  const settings = parseRunFile(studyVerb, text, 'study.yaml')
  return Object.fromEntries(Object.entries(settings).map(([name, { value }]) => [name, value]))
}

describe('a plan', () => {
  it('crosses a grid with named settings and seeds, all settings of a seed first', () => {
    const { settings, runs } = planStudy({
      base,
      grid: { rank: [4, 8], 'learning-rate': [1e-3] },
      settings: [{ name: 'plain' }, { name: 'rs LoRA', rslora: true }],
      seeds: 2,
    })
    expect(settings.map(({ name }) => name)).toEqual([
      'plain, rank=4, learning-rate=0.001',
      'plain, rank=8, learning-rate=0.001',
      'rs LoRA, rank=4, learning-rate=0.001',
      'rs LoRA, rank=8, learning-rate=0.001',
    ])
    expect(settings[3]).toMatchObject({
      folder: 'rs-LoRA-rank=8-learning-rate=0.001',
      own: { rslora: true, rank: 8, learningRate: 1e-3 },
      options: { ...base, rslora: true, rank: 8, learningRate: 1e-3 },
    })
    expect(runs.map(({ dataSeed }) => dataSeed)).toEqual([1, 1, 1, 1, 2, 2, 2, 2])
    expect(runs[7]).toMatchObject({
      folder: 'runs/rs-LoRA-rank=8-learning-rate=0.001/seed-2',
      initSeed: 2,
      options: { seed: 2, rank: 8 },
    })
  })

  it('without grid and settings is the base alone, with five seeds', () => {
    const { settings, runs } = planStudy({ base })
    expect(settings.map(({ name }) => name)).toEqual(['base'])
    expect(runs.map(({ folder }) => folder)).toEqual([1, 2, 3, 4, 5].map((seed) => `runs/base/seed-${seed}`))
  })

  it('holds the same rows out in every run', () => {
    const seedsOf = (more: object): unknown[] =>
      planStudy({ base: { ...base, ...more }, seeds: 2 }).runs.map(({ options }) => options.splitSeed)
    expect(seedsOf({ evalSplit: 0.2 })).toEqual([1, 1])
    expect(seedsOf({ evalSplit: 0.2, splitSeed: 7 })).toEqual([7, 7])
    expect(seedsOf({ evalData: 'held.jsonl' })).toEqual([undefined, undefined])
  })

  it('crosses seeds of data and of new weights', () => {
    const { runs, crossed } = planStudy({ base, dataSeeds: 2, initSeeds: [7, 9] })
    expect(crossed).toBe(true)
    expect(runs.map(({ options: { seed, dataSeed, initSeed } }) => [seed, dataSeed, initSeed])).toEqual([
      [undefined, 1, 7],
      [undefined, 1, 9],
      [undefined, 2, 7],
      [undefined, 2, 9],
    ])
    expect(runs[1]?.folder).toBe('runs/base/data-1-init-9')
  })

  it('lets a setting silence what the base says', () => {
    const { settings } = planStudy({
      base: { ...base, epochs: 3, rank: 8 },
      settings: [{ name: 'a' }, { name: 'b', steps: 9, method: 'full' }],
    })
    expect(settings[0]?.options).toEqual({ ...base, epochs: 3, rank: 8 })
    expect(settings[1]?.options).toEqual({ ...base, steps: 9, method: 'full' })
  })

  it('gives settings whose names look alike folders of their own', () => {
    const { settings } = planStudy({
      base,
      settings: [{ name: 'a b' }, { name: 'a/b' }, { name: 'A-B' }, { name: '…' }],
    })
    expect(settings.map(({ folder }) => folder)).toEqual(['a-b', 'a-b-2', 'A-B-3', 'setting'])
  })

  it('reads words of a file as a run file does', () => {
    const { settings } = planStudy(
      fromFile('base: {model: m, data: "a.jsonl,b.jsonl"}\ngrid:\n  targets: [q_proj, "q_proj,v_proj"]\n'),
    )
    expect(settings.map(({ name, options }) => [name, options.targets, options.data])).toEqual([
      ['targets=q_proj', ['q_proj'], ['a.jsonl', 'b.jsonl']],
      ['targets=q_proj+v_proj', ['q_proj', 'v_proj'], ['a.jsonl', 'b.jsonl']],
    ])
  })

  it.each<[Partial<StudyOptions>, string]>([
    [{ grid: {} }, 'the grid is empty'],
    [{ grid: { rank: [] } }, 'grid: rank has no values'],
    [{ grid: { rank: 4 } }, 'grid: rank needs a list of values, as [1, 2]'],
    [{ grid: { rank: [4, 4] } }, 'two settings are called "rank=4"'],
    [{ settings: [] }, 'settings: a study needs at least one'],
    [{ settings: [{ rank: 4 }] }, 'setting 1 has no name: write "name: baseline" in it'],
    [{ settings: [{ name: 'a' }, { name: 'a', rank: 4 }] }, 'two settings are called "a"'],
    [{ seeds: 0 }, 'seeds: a study needs at least one seed'],
    [{ seeds: [] }, 'seeds: a study needs at least one seed'],
    [{ seeds: [3, 3] }, 'seeds: 3 stands twice'],
    [{ dataSeeds: 2, initSeeds: 0 }, 'init-seeds: a study needs at least one seed'],
    [{ grid: { rank: [4, 0] } }, 'setting rank=0: rank expects a whole number of 1 or more, got 0'],
    [{ base: { ...base, seed: 3 } }, 'base: seed: seeds of a study stand in seeds'],
    [{ grid: { output: ['a', 'b'] } }, 'grid: output: each run has a folder of its own below the output of the study'],
    [
      { settings: [{ name: 'a', epochs: 1, steps: 2 }, { name: 'b' }] },
      'setting a: epochs has no meaning with steps 2: leave one out',
    ],
    [{ base: { data: 'd' } }, 'train needs model: a folder, lowrank-tiny, or a Hugging Face id'],
  ])('is refused: %j', (options, message) => {
    const error = complaint(() => planStudy({ base, ...options }))
    expect(error.message).toBe(message)
    expect(error.code).toBe('usage')
  })

  it.each<[text: string, message: string, file: string, suggestion?: string]>([
    ['base:\n  model: m\n  rnak: 8\n', 'base: rnak is no option of train', 'study.yaml:3', 'rank'],
    ['base: {model: m}\ngrid:\n  learning-rat: [1]\n', 'grid: learning-rat is no option of train', 'study.yaml:3'],
    [
      'base: {model: m, data: d}\nsettings:\n- name: a\n- name: b\n  batch-sise: 4\n',
      'settings: b: batch-sise is no option of train',
      'study.yaml:5',
      'batch-size',
    ],
    [
      'base: {model: m, data: d}\nsettings:\n- name: a\n  rank: 0\n',
      'rank expects a whole number of 1 or more, got 0',
      'study.yaml:4',
    ],
    ['base: {model: m, rank: 8, Rank: 8}\n', 'base: Rank is no option of train', 'study.yaml:1', 'rank'],
    [
      'base: {model: m, batch-size: 8, batchSize: 8}\n',
      'base: batchSize is given twice (also as batch-size)',
      'study.yaml:1',
    ],
  ])('names the line of %j', (text, message, file, suggestion) => {
    const error = complaint(() => planStudy(fromFile(text)))
    expect(error).toMatchObject({ message, file })
    if (suggestion !== undefined) expect(error.suggestion).toBe(suggestion)
  })
})

describe('a study that goes on', () => {
  const options: StudyOptions = { base, settings: [{ name: 'a' }, { name: 'b', rank: 4 }], seeds: 2 }
  const facts = new Map([['a', { rows: 5, tokens: 50, heldRows: 2 }]])
  const saved: unknown = JSON.parse(JSON.stringify(savedPlan(planStudy(options), facts, undefined)))
  const again = (more: Partial<StudyOptions>, data = new Map(facts)): void =>
    refuseAnother(saved, planStudy({ ...options, ...more }), data, 'plan.json')

  it('may have grown, and may use the machine otherwise', () => {
    again({})
    again({ seeds: 5 })
    again({ settings: [{ name: 'new', rank: 2 }, { name: 'b', rank: 4 }, { name: 'a' }] })
    again({ base: { ...base, threads: 1 } })
  })

  it.each<[Partial<StudyOptions>, RegExp]>([
    [{ seeds: 1 }, /^seed 2 is left out: the study in plan.json is another one$/],
    [{ settings: [{ name: 'a' }] }, /^setting "b" is left out/],
    [{ settings: [{ name: 'a' }, { name: 'b', rank: 8 }] }, /^setting "b": rank is 8, not 4/],
    [{ settings: [{ name: 'a' }, { name: 'b' }] }, /^setting "b": rank is not given, not 4/],
    [{ base: { ...base, learningRate: 1 } }, /^setting "a": learning-rate is 1, not left out/],
    [{ seeds: undefined, dataSeeds: 2, initSeeds: 2 }, /^seeds are given as data-seeds × init-seeds/],
  ])('is refused where it differs: %j', (more, says) => {
    expect(complaint(() => again(more))).toMatchObject({ code: 'usage', message: expect.stringMatching(says) })
  })

  it('is refused where its rows have changed', () => {
    const other = new Map([['a', { rows: 6, tokens: 60, heldRows: 2 }]])
    expect(complaint(() => again({}, other)).message).toMatch(/^setting "a": the rows have changed \(5 rows, 50 tokens/)
  })
})
