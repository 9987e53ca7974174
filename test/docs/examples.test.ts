/** @file The examples run one after the other, as their comments say, on the built package and a tiny random model. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { repositoryRoot } from '../setup/doc-example.ts'
import { runAsPackageUser } from '../setup/package-user.ts'
import { writeTinyModel } from '../setup/tiny-model.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-examples-'))
const [model, adapter, merged] = ['model', 'adapter', 'merged'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
]
beforeAll(() => writeTinyModel(model))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const example = (name: string, ...args: string[]): Promise<string> =>
  runAsPackageUser(readFileSync(join(repositoryRoot, 'examples', name), 'utf8'), { name, args, cwd: folder })

const runScript = (script: string, ...args: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const options = { cwd: folder, encoding: 'utf8' } as const
    execFile(process.execPath, [join(repositoryRoot, script), ...args], options, (error, stdout, stderr) =>
      error ? reject(new Error(stdout + stderr, { cause: error })) : resolve(stdout),
    )
  })

describe('examples', () => {
  it('are short', () => {
    const files = readdirSync(join(repositoryRoot, 'examples')).filter((file) => file.endsWith('.ts'))
    expect(files.length).toBeGreaterThan(3)
    for (const file of files)
      expect(readFileSync(join(repositoryRoot, 'examples', file), 'utf8').split('\n').length).toBeLessThanOrEqual(60)
  })

  it('01 trains an adapter that learns', async () => {
    const said = await example('01-train-lora.ts', model, adapter)
    const losses = [...said.matchAll(/^step \d+\/\d+ {2}loss ([\d.]+)$/gm)].map(([, loss]) => Number(loss))
    expect(losses.length).toBeGreaterThan(2)
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) - 0.5)
    expect(said).toMatch(/rows kept aside: loss [\d.]+/)
    expect(existsSync(join(adapter, 'adapter_model.safetensors'))).toBe(true)
  })

  it('lora-layer trains a change of rank 10 on a frozen matrix, as npm run example does', async () => {
    const said = await runScript('scripts/example.mjs', 'lora-layer')
    const number = (name: string): number => Number(new RegExp(`^${name} ([\\d.e-]+)$`, 'm').exec(said)?.[1])
    expect(said).toMatch(/^training 20000 numbers beside 1000000 frozen ones$/m)
    expect(number('loss before')).toBeGreaterThan(1)
    expect(number('loss after')).toBeLessThan(1e-4)
    expect(number('merged output differs by at most')).toBeLessThan(1e-3)
    expect(existsSync(join(folder, 'runs/lora-layer/adapter_config.json'))).toBe(true)
  })

  it('02 asks one base with and without it, and talks', async () => {
    const said = await example('02-chat-with-adapter.ts', model, adapter)
    const [base = '', adapted = ''] = said.split('(with the adapter)')[0]?.split('(base)\n') ?? []
    expect(base).toMatch(/^a green hat =/)
    expect(adapted).toMatch(/^a green hat =/)
    expect(adapted.trimEnd()).not.toBe(base.trimEnd())
    expect(said).toContain('> a blue boat =\n')
    expect(said).toContain('> a white lamp =\n')
  })

  it('03 merges it into a model that computes the same', async () => {
    const said = await example('03-merge-and-export.ts', model, adapter, merged)
    const loss = (name: string): number =>
      Number(new RegExp(`^${name.replace('+', '\\+')}: loss ([\\d.]+)`, 'm').exec(said)?.[1])
    expect(Math.abs(loss('merged') - loss('base + adapter'))).toBeLessThanOrEqual(1e-3)
    expect(loss('base')).toBeGreaterThan(loss('merged') + 0.5)
  })
})
