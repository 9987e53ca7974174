/** @file A study that is killed again and again loses no finished run, makes none twice, and says in the end what an unkilled one says. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { RandomStream } from '../../src/support/random.ts'
import { bin, runCli } from '../setup/run-cli.ts'
import { tinyBert, writeTinyModel } from '../setup/tiny-model.ts'
import { type Json, labFolder, refuse, rowsFile, succeed } from './lab.ts'

const lab = labFolder()
const at = (...parts: string[]): string => join(lab, ...parts)
const RUNS = 24

beforeAll(async () => {
  await writeTinyModel(at('model'), tinyBert)
  const labelled = (i: number): Json => ({
    text: `row ${i} ${'the hen '.repeat(1 + (i % 3))}`,
    label: i % 3 ? 'b' : 'a',
  })
  const rows = Array.from({ length: 20 }, (_, i) => labelled(i))
  rowsFile(lab, rows)
  rowsFile(lab, rows.slice(3, 12), 'held.jsonl')
  writeFileSync(
    at('study.yaml'),
    [
      'base:',
      `  model: ${at('model')}`,
      `  data: ${at('rows.jsonl')}`,
      `  eval-data: ${at('held.jsonl')}`,
      '  batch-size: 4\n  steps: 8\n  eval-every: 2\n  save-every: 3\n  learning-rate: 1e-2\n  threads: 1',
      'settings:',
      '- name: low\n  rank: 2',
      '- name: all\n  method: full\n  learning-rate: 1e-3\n  keep-best: true',
      `seeds: ${RUNS / 2}`,
    ].join('\n'),
  )
})

const command = (output: string, ...more: string[]): string[] => [
  ...['study', '--config', at('study.yaml'), '--output', at(output), ...more],
]

/** Starts a command and kills it once `events` of a kind are told and a moment has passed; whether that was before its end. */
async function killed(args: readonly string[], type: string, events: number, ms: number): Promise<boolean> {
  const child = spawn(process.execPath, [bin, ...args, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on('close', (_, signal) => resolve(signal)))
  let seen = 0
  let aimed = false
  child.stdout.on('data', (chunk) => {
    seen += String(chunk).split(`"type":"${type}"`).length - 1
    if (seen < events || aimed) return
    aimed = true
    setTimeout(() => child.kill('SIGKILL'), ms)
  })
  return (await ended) === 'SIGKILL'
}

/** Every record of a finished run: contents, and when it was written. */
function records(output: string): Map<string, string> {
  const found = new Map<string, string>()
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) walk(path)
      else if (/^seed-\d+\.json$/.test(entry.name))
        found.set(relative(at(output), path), `${statSync(path).mtimeMs} ${readFileSync(path, 'utf8')}`)
    }
  }
  try {
    walk(at(output, 'runs'))
  } catch {
    // Killed before the first run.
  }
  return found
}

/** What a study says, but for the clock. */
function said({ runs, groups, differences, total, metric }: Json): Json {
  const steady = (runs as Json[]).map(({ seconds: _, ...run }) => run)
  return { runs: steady, groups, differences, total, metric }
}

describe('a study killed 12 times', () => {
  let result: Json = {}
  beforeAll(async () => {
    result = (await succeed(command('whole'))).result
    expect(result.runs).toHaveLength(RUNS)
  }, 200_000)

  it.each([1, 2])(
    'with %i at a time loses no finished run and counts none twice',
    { timeout: 400_000 },
    async (workers) => {
      const broken = `broken-${workers}`
      const random = new RandomStream(workers, 'study kills')
      const args = command(broken, '--resume', '--workers', String(workers))
      let before = records(broken)
      for (let kill = 1; kill <= 12; kill++) {
        // In turns: soon after the start, while runs are going on, and while a record may be being written.
        const [type, ms] = kill % 3 === 0 ? ['run', random.below(30)] : ['begin', random.below(600)]
        expect(await killed(args, type, 1, ms), `kill ${kill} came after the end`).toBe(true)
        const now = records(broken)
        for (const [file, record] of before) expect(now.get(file), `${file} after kill ${kill}`).toBe(record)
        before = now
      }
      const { result: end, events } = await succeed(args)
      const made = events.filter(({ type }) => type === 'run')
      expect(made).toHaveLength(RUNS - before.size)
      expect(records(broken).size).toBe(RUNS)
      for (const [file, record] of before) expect(records(broken).get(file)).toBe(record)
      expect(said(end)).toEqual(said(result))
      expect(readdirSync(at(broken)).sort()).toEqual(readdirSync(at('whole')).sort())
    },
  )
})

describe('Ctrl-C in a study', () => {
  it.each([1, 2])('of %i at a time saves, says how to go on, and ends with 130', async (workers) => {
    let pressed = false
    const output = `stopped-${workers}`
    const seen = await runCli(command(output, '--workers', String(workers)), {
      onStderr: (text, kill) => {
        if (pressed || !text.includes('2 of 24 runs')) return
        pressed = true
        kill('SIGINT')
      },
    })
    expect(seen.code, seen.stderr).toBe(130)
    expect(seen.stdout).toContain('--resume')
    const study = JSON.parse(readFileSync(at(output, 'study.json'), 'utf8')) as Json
    expect(study).toMatchObject({ stopped: true, total: RUNS })
    expect(records(output).size).toBe((study.runs as Json[]).length)
    expect(readdirSync(at(output))).not.toContain('.lowrank.lock')
  })
})

describe('a study', () => {
  it.each([
    ['grid: {}', /the grid is empty[\s\S]*study-bad.yaml:5[\s\S]*as \{rank: \[4, 8\]\}/],
    ['settings: []', /settings: a study needs at least one[\s\S]*study-bad.yaml:5[\s\S]*name: baseline/],
    ['seeds: 0', /seeds: a study needs at least one seed[\s\S]*as 5/],
    ['grid:\n  lerning-rate: [1]', /lerning-rate is no option of train[\s\S]*did you mean learning-rate/],
    ['settings:\n- {name: a}\n- {name: a}', /two settings are called "a"/],
    ['settings:\n- {name: a, rank: none}', /rank expects a whole number[\s\S]*study-bad.yaml:6/],
    ['seeds: many', /seeds expects how many, or a list of whole numbers, got "many"/],
    ['seedz: 3', /seedz is no option of study[\s\S]*did you mean seeds/],
    ['settings: a', /settings expects a list of named sets of options/],
    ['metric: acuracy', /did you mean accuracy/],
  ])('with %j is refused before anything is written', async (text, says) => {
    const head = `base:\n  model: ${at('model')}\n  data: ${at('rows.jsonl')}\n  eval-data: ${at('held.jsonl')}\n`
    writeFileSync(at('study-bad.yaml'), `${head}${text}\n`)
    const args = ['study', '--config', at('study-bad.yaml'), '--output', at('refused')]
    await refuse(args, { exit: 2, code: 'usage', says, untouched: at('refused') })
  })
})
