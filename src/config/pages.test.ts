import { describe, expect, expectTypeOf, it } from 'vitest'
import { parseFlags } from './flags.ts'
import { verbHelp } from './help.ts'
import { runFileSchema } from './json-schema.ts'
import { adapterSpecs } from './options/model.ts'
import { resolveSettings } from './resolve.ts'
import { formatRunFile, parseRunFile } from './run-file.ts'
import { studyFileSchema } from './study-schema.ts'
import type { VerbSpec } from './verb.ts'
import { type TrainOptions, type TrainSettings, verbs } from './verbs/index.ts'

const everyVerb: VerbSpec[] = Object.values(verbs)

describe('the tables', () => {
  it.each(everyVerb)('$name: every example is a command line that parses', (spec) => {
    for (const { command } of spec.examples) {
      const words = (command.split(' | ').at(-1) ?? '').replace(/ > \S+$/, '').match(/'[^']*'|\S+/g) ?? []
      expect(words.slice(0, 2)).toEqual(['lowrank', spec.name])
      const argv = words.slice(2).map((word) => word.replace(/^'(.*)'$/, '$1'))
      const { settings, config } = parseFlags(spec, argv)
      if (config === undefined) resolveSettings(spec.name, settings)
    }
  })

  it.each(everyVerb)('$name: help names every option and fits the width', (spec) => {
    const page = verbHelp(spec, 100)
    for (const line of page.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    for (const name of Object.keys(spec.options)) {
      const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
      expect(page).toMatch(
        spec.positional === name ? new RegExp(name.toUpperCase()) : new RegExp(`--(\\[no-\\])?${flag}\\b`),
      )
    }
  })

  it('types the options of the library from the same schema', () => {
    expectTypeOf<TrainOptions['rank']>().toEqualTypeOf<number | undefined>()
    expectTypeOf<TrainOptions['data']>().toEqualTypeOf<string | string[] | undefined>()
    expectTypeOf<TrainSettings['rank']>().toEqualTypeOf<number>()
    expectTypeOf<TrainSettings['method']>().toEqualTypeOf<
      'lora' | 'full' | 'houlsby' | 'pfeiffer' | 'parallel' | 'bitfit' | 'ln-tuning' | 'head'
    >()
    expectTypeOf<TrainSettings['evalData']>().toEqualTypeOf<string[] | undefined>()
  })
})

describe('run file', () => {
  it('is written so that it reads back to the same values', () => {
    const line = [
      '--model',
      'true',
      '--data',
      'a b.jsonl,c: d',
      '--targets',
      '/q|v/',
      '--recompute',
      '--steps',
      '7',
      '--init',
      'gaussian',
    ]
    const { values } = resolveSettings('train', parseFlags(verbs.train, line).settings)
    const text = formatRunFile(verbs.train, values, 'lowrank 0.1.0')
    expect(text).toMatch(/^# lowrank 0\.1\.0\n/)
    expect(text).not.toMatch(/^epochs/m)
    const again = resolveSettings('train', parseRunFile(verbs.train, text, 'run.yaml'))
    expect(again.values).toEqual(values)
  })

  it('leaves out what full training has no use for', () => {
    const line = ['--from-config', 'c.json', '--method', 'full', '--data', 'd']
    const { values } = resolveSettings('train', parseFlags(verbs.train, line).settings)
    const text = formatRunFile(verbs.train, values)
    expect(text).not.toMatch(/^rank/m)
    expect(resolveSettings('train', parseRunFile(verbs.train, text, 'run.yaml')).values).toEqual(values)
  })
})

describe('JSON Schema', () => {
  it.each(everyVerb)('$name: has both spellings, defaults and descriptions', (spec) => {
    const schema = runFileSchema(spec)
    expect(schema).toMatchObject({ type: 'object', additionalProperties: false })
    for (const [, property] of Object.entries(schema.properties as Record<string, Record<string, unknown>>))
      expect(property.description ?? property.$ref).toBeTypeOf('string')
  })

  it('of a study holds the options of train, wherever it has them', () => {
    const { properties, $defs } = studyFileSchema()
    expect(properties).toMatchObject({
      base: { properties: { rank: { $ref: '#/$defs/train/properties/rank' } }, additionalProperties: false },
      grid: { properties: { 'learning-rate': { type: 'array', minItems: 1 } } },
      settings: { type: 'array', items: { required: ['name'] } },
      seeds: { description: expect.any(String) },
    })
    expect($defs).toMatchObject({
      train: {
        properties: {
          'learning-rate': { type: 'number' },
          learningRate: { $ref: '#/$defs/train/properties/learning-rate' },
        },
      },
    })
  })

  it('says what the options of train may be', () => {
    expect(runFileSchema(verbs.train).properties).toMatchObject({
      rank: { type: 'integer', minimum: 1, default: 8 },
      'learning-rate': { type: 'number', minimum: 0, default: 2e-4 },
      learningRate: { $ref: '#/properties/learning-rate' },
      schedule: { enum: ['constant', 'linear', 'cosine'] },
      data: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
    })
  })
})

describe('adapters', () => {
  it('reads paths, names and weights', () => {
    expect(adapterSpecs(['runs/a', 'b=runs/b:0.5', 'c=C:\\runs', 'runs/d:7', { path: 'e', weight: 2 }])).toEqual([
      { name: 'default', path: 'runs/a', weight: 1 },
      { name: 'b', path: 'runs/b', weight: 0.5 },
      { name: 'c', path: 'C:\\runs', weight: 1 },
      { name: 'adapter4', path: 'runs/d:7', weight: 1 },
      { name: 'adapter5', path: 'e', weight: 2 },
    ])
  })
})
