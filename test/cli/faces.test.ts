import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { summaries } from '../../src/config/summaries.ts'
import { runCli } from '../setup/run-cli.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('help', () => {
  it('lists every verb on stdout', async () => {
    for (const args of [[], ['--help'], ['-h'], ['help']]) {
      const { code, stdout, stderr } = await runCli(args)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      for (const [name, summary] of Object.entries(summaries)) expect(stdout).toContain(`${name.padEnd(12)}${summary}`)
    }
  })

  it.each(Object.keys(summaries))('%s --help has usage, examples and every group', async (verb) => {
    const { code, stdout } = await runCli([verb, '--help'])
    expect(code).toBe(0)
    for (const heading of ['Usage', 'Examples', 'Always']) expect(stdout).toMatch(new RegExp(`^${heading}$`, 'm'))
    expect(stdout).not.toContain('\x1b[')
  })

  it('tells its version', async () => {
    expect((await runCli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('wrong usage', () => {
  it.each([
    [['trian'], /^lowrank: "trian" is no verb of lowrank .*\n {2}did you mean train\?\n$/],
    [['serve'], /^lowrank: serve comes in a later version of lowrank\n$/],
    [['--json', 'train'], /the verb comes first: lowrank VERB --json/],
    [['train', '--rnak', '8'], /^lowrank: --rnak is no option of train\n {2}did you mean --rank\?\n$/],
    [
      ['train', '--model', 'm', '--data', 'd', '--rank', '0'],
      /^lowrank: --rank expects a whole number of 1 or more, got 0\n$/,
    ],
    [['train', '--model', 'm', '--data', 'd', '--optimizer', 'bertadma'], /did you mean bertadam\?/],
    [['inspect'], /^lowrank: inspect needs PATH: /],
    [['inspect', 'a', 'b'], /^lowrank: inspect has no use for "b"/],
    [['schema', 'tarin'], /did you mean train\?/],
  ])('%j is one message and exit 2', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args)
    if (args.includes('--json')) expect(JSON.parse(stdout).error.message).toMatch(message)
    else expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/\n {4}at /)
    expect(code).toBe(2)
  })

  it('is JSON on stdout with --json, and nothing on stderr', async () => {
    const { code, stdout, stderr } = await runCli([
      'train',
      '--model',
      'm',
      '--data',
      'd',
      '--schedule',
      'cosin',
      '--json',
    ])
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' })
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'usage',
        message: '--schedule expects one of constant, linear, cosine, got "cosin"',
        field: 'schedule',
        suggestion: 'cosine',
      },
    })
  })

  it('names file and line of a run file', async () => {
    const file = join(folder, 'run.yaml')
    writeFileSync(file, 'model: m\ndata: d\nlearning-rat: 1\n')
    const { code, stderr } = await runCli(['train', '--config', file])
    expect(stderr).toBe(`lowrank: learning-rat is no option of train\n  in ${file}:3\n  did you mean learning-rate?\n`)
    expect(code).toBe(2)
    const missing = await runCli(['train', '--config', join(folder, 'none.yaml')])
    expect(missing.stderr).toContain('none.yaml')
    expect(missing.code).not.toBe(0)
  })
})

describe('failures', () => {
  it('exit 1 and name the path', async () => {
    const { code, stderr } = await runCli(['inspect', join(folder, 'nothing')])
    expect(stderr).toContain(`there is no file or folder ${join(folder, 'nothing')}`)
    expect(code).toBe(1)
  })

  it('show a stack only when asked', async () => {
    writeFileSync(join(folder, 'torn.safetensors'), Buffer.from([9, 9]))
    const args = ['inspect', join(folder, 'torn.safetensors')]
    expect((await runCli(args)).stderr).not.toMatch(/^ +at /m)
    expect((await runCli(args, { env: { LOWRANK_DEBUG: '1' } })).stderr).toMatch(/^ +at /m)
  })
})

describe('schema', () => {
  it('prints the JSON Schema of a verb', async () => {
    const schema = JSON.parse((await runCli(['schema', 'generate'])).stdout)
    expect(schema.title).toBe('lowrank generate')
    expect(schema.properties['top-p']).toMatchObject({ type: 'number', maximum: 1, default: 1 })
  })
})

describe('doctor', () => {
  it('finds the reference engine and tests it', async () => {
    const { code, stdout } = await runCli(['doctor', '--json'])
    const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
    const reference = report.engines.find((engine: { name: string }) => engine.name === 'reference')
    expect(reference.selfTest).toMatchObject({ passed: true, problems: [] })
    expect(reference.selfTest.cases).toBeGreaterThan(5)
    expect(report.machine.cores).toBeGreaterThan(0)
    expect(code).toBe(0)
  })
})
