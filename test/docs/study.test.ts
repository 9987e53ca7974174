/** @file Studies that docs/study.md and examples/ show are planned as they stand, and the page's program runs. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseRunFile } from '../../src/config/run-file.ts'
import { verbs } from '../../src/config/verbs/index.ts'
import { planStudy, type StudyPlan } from '../../src/run/study/plan.ts'
import { rowsFile, textRows } from '../e2e/lab.ts'
import { repositoryRoot } from '../setup/doc-example.ts'
import { runAsPackageUser } from '../setup/package-user.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-docs-study-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const page = readFileSync(join(repositoryRoot, 'docs/study.md'), 'utf8')
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text)

function planOf(text: string): StudyPlan {
  const settings = parseRunFile(verbs.study, text, 'study.yaml')
  return planStudy(Object.fromEntries(Object.entries(settings).map(([name, { value }]) => [name, value])))
}

const [grid = '', ...others] = blocks('yaml')

describe('docs/study.md', () => {
  it('shows a grid', () => {
    const { settings, runs } = planOf(grid)
    expect([settings.length, runs.length]).toEqual([4, 20])
  })

  it.each(others)('shows a part of a study: %s', (text) => {
    const { settings, runs } = planOf(`base: {model: m, data: d, eval-split: 0.1}\n${text}`)
    expect(runs.length).toBeGreaterThan(settings.length)
  })

  it('has a program that runs', async () => {
    rowsFile(folder, textRows(12))
    const [program = ''] = blocks('ts')
    const small = program.replace('steps: 100', 'steps: 2').replace('seeds: 5', 'seeds: 1')
    expect(small).not.toBe(program)
    const said = await runAsPackageUser(small, { name: 'study.ts', cwd: folder })
    expect(said).toMatch(/rank=16/)
  })
})

describe('examples/study.yaml', () => {
  it('is the five settings of the paper, twenty seeds each', () => {
    const { settings, runs } = planOf(readFileSync(join(repositoryRoot, 'examples/study.yaml'), 'utf8'))
    expect(settings.map(({ name }) => name)).toEqual(['baseline', 'bias correction', 're-init', 'longer', 'all three'])
    expect(runs).toHaveLength(100)
    const [baseline, , reinit, longer, all] = settings
    expect(baseline?.options).toMatchObject({ optimizer: 'bertadam', epochs: 3, method: 'full', keepBest: true })
    expect(reinit?.options).toMatchObject({ reinitLayers: 1, reinitPooler: true })
    expect(longer?.options).toMatchObject({ optimizer: 'bertadam', epochs: 9 })
    expect(all?.own).toEqual({ optimizer: 'adamw', reinitPooler: true, reinitLayers: 1, epochs: 9 })
  })
})
