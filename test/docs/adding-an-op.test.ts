import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import type { EngineCase } from '../../src/engine/case.ts'
import type { Node } from '../../src/graph/types.ts'
import { blocksOf, follow, typeErrors } from '../setup/doc-example.ts'
import { GRADIENT_CHECK } from '../tolerances.ts'

const blocks = blocksOf('docs/adding-an-op.md')
const roots: string[] = []
const followed = (part: typeof blocks): string => {
  const root = follow(part)
  roots.push(root)
  return root
}
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true })
})

describe('docs/adding-an-op.md', () => {
  it('compiles when it is followed, and does not when the definition is left out', () => {
    expect(typeErrors(followed(blocks), 'src/engine/cases.ts')).toEqual([])
    const [vocabulary] = blocks
    const errors = typeErrors(followed(vocabulary ? [vocabulary] : []), 'src/engine/cases.ts')
    expect(errors.join('\n')).toContain("Property 'relu2' is missing")
  })

  it('gives an op that runs, differentiates and passes its case', async () => {
    const root = followed(blocks)
    // Another copy of the source than this file's types come from: the imported names are given those types here.
    const load = async <T>(path: string): Promise<T> => (await import(pathToFileURL(join(root, path)).href)) as T
    const { engineCases } = await load<typeof import('../../src/engine/cases.ts')>('src/engine/cases.ts')
    const { checkEngineCase } = await load<typeof import('../../src/engine/case.ts')>('src/engine/case.ts')
    const { prepare } = await load<typeof import('../../src/engine/prepare.ts')>('src/engine/prepare.ts')
    const { newBuilder } = await load<typeof import('../../src/ops/index.ts')>('src/ops/index.ts')
    const { graphOf } = await load<typeof import('../../src/graph/graph.ts')>('src/graph/graph.ts')
    const { gradients } = await load<typeof import('../../src/autodiff/backward.ts')>('src/autodiff/backward.ts')
    const { referenceEngine } = await load<typeof import('../../src/engines/reference/index.ts')>(
      'src/engines/reference/index.ts',
    )
    const engine = referenceEngine()
    const own = engineCases.find((test: EngineCase) => test.name === 'relu2')
    expect(own).toBeDefined()
    if (own) expect(await checkEngineCase(engine, engine, own, { relative: 0, absolute: 0 })).toEqual([])

    const g = newBuilder() as ReturnType<typeof newBuilder> & { relu2(x: Node): Node }
    const x = g.feed('x', { dtype: 'f32', shape: [3] })
    const y = g.relu2(x)
    const [dx = x] = gradients(g, g.sum(y, { axes: [0] }), [x])
    const run = await engine.compile(prepare(graphOf(Object.entries({ y, dx })), engine.composites), {
      weights: new Map(),
    })
    const at = Float64Array.of(-2, 0.5, 3)
    const out = await run.runExact({ x: { dtype: 'f32', shape: [3], data: at } })
    expect([...(out.y?.data ?? [])]).toEqual([0, 0.25, 9])
    const known = [0, 1, 6]
    expect([...(out.dx?.data ?? [])].every((v, i) => Math.abs(v - (known[i] ?? Number.NaN)) < GRADIENT_CHECK)).toBe(
      true,
    )
  })
})
