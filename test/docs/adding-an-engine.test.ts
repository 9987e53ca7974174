import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { drawCase } from '../../src/engine/case.ts'
import { engineCases } from '../../src/engine/cases.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { prepare } from '../../src/engine/prepare.ts'
import { blocksOf, follow, repositoryRoot, typeErrors } from '../setup/doc-example.ts'

const root = follow(blocksOf('docs/adding-an-engine.md'))
afterAll(() => rmSync(root, { recursive: true }))
// The guide's own test file registers its cases here, over the copy.
cpSync(join(repositoryRoot, 'test/setup/engine-cases.ts'), join(root, 'test/setup/engine-cases.ts'))
cpSync(join(repositoryRoot, 'test/tolerances.ts'), join(root, 'test/tolerances.ts'))
await import(pathToFileURL(join(root, 'test/toy.test.ts')).href)

describe('docs/adding-an-engine.md', () => {
  it('compiles when it is followed', () => {
    expect(typeErrors(root, 'test/toy.test.ts')).toEqual([])
  })

  it('gives an engine that refuses what it lacks, each op by name', async () => {
    const module = (await import(pathToFileURL(join(root, 'src/engines/toy/index.ts')).href)) as {
      toyEngine: () => Engine
    }
    const engine = module.toyEngine()
    const own = engineCases.find((test) => test.name === 'lowRank with a fed scale')
    const graph = own && prepare(drawCase(own).graph, engine.composites)
    if (!graph) throw new Error('there is no such case')
    await expect(engine.compile(graph, { weights: new Map() })).rejects.toThrow(
      'the toy engine has no kernel for matmul (outside any module)',
    )
  })
})
