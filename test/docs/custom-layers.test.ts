/** @file The programs of docs/custom-layers.md run on the built package, and their types need no help. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { repositoryRoot, typeErrors } from '../setup/doc-example.ts'
import { runAsPackageUser } from '../setup/package-user.ts'

const page = readFileSync(join(repositoryRoot, 'docs/custom-layers.md'), 'utf8')
const programs = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, body = '']) => body)
const folder = mkdtempSync(join(tmpdir(), 'lowrank-custom-'))
const source = (i: number): string => join('dist', 'programs', `custom-layers-${process.pid}-${i}.ts`)
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  for (const i of programs.keys()) rmSync(join(repositoryRoot, source(i)), { force: true })
})

describe('docs/custom-layers.md', () => {
  it.each([...programs.keys()])('program %i has types that need no help', (i) => {
    mkdirSync(join(repositoryRoot, 'dist', 'programs'), { recursive: true })
    writeFileSync(join(repositoryRoot, source(i)), programs[i] ?? '')
    expect(typeErrors(repositoryRoot, source(i))).toEqual([])
    expect(programs[i]).not.toMatch(/\bas\b|\bany\b|!\.|!\)/)
  })

  it('trains one layer', async () => {
    const said = await runAsPackageUser(programs[0] ?? '', { name: 'custom-0.ts', cwd: folder })
    expect(Number(said)).toBeLessThan(0.01)
  })

  it('trains a network and saves it', async () => {
    const said = await runAsPackageUser(programs[1] ?? '', { name: 'custom-1.ts', cwd: folder })
    expect(said).toMatch(/^86 \[/) // 2·(8 + 16) and 2·(16 + 3)
    expect(Number(/^(\d\.\d+(?:e-\d+)?) \{/m.exec(said)?.[1])).toBeLessThan(0.1)
    expect(said.trimEnd()).toMatch(/\[ 16, 8 \]$/)
    expect(existsSync(join(folder, 'runs/mine/adapter_model.safetensors'))).toBe(true)
  })
})
