/** @file Samples packed into one row of every family's golden case: each token's loss as if its sample stood alone. */
import { afterAll, describe, expect, it } from 'vitest'
import { collate } from '../../src/data/collate.ts'
import type { Example } from '../../src/data/example.ts'
import type { Executable } from '../../src/engine/engine.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { buildEvaluation } from '../../src/train/step-graph.ts'
import { EXACT } from '../tolerances.ts'
import { type Case, compile, feedsOf, openCase, required, writeAdapter } from './case.ts'
import { casesNamed, DECODERS } from './cases.ts'

const engine = referenceEngine()
afterAll(() => engine.dispose())

async function losses(executable: Executable, c: Case, rows: Example[][]): Promise<number[]> {
  const out = await executable.run(feedsOf(c, collate(rows)))
  return Array.from(required(out.losses, 'losses').data, Number)
}

describe('packed samples', () => {
  it.each(casesNamed(DECODERS).filter(({ name }) => name.endsWith('of models')))('$name', async ({ folder }) => {
    const c = await openCase(folder)
    const executable = await compile(engine, c, buildEvaluation(c.trained))
    await writeAdapter(executable, c.trained.groups, c.start)
    const examples = c.examples.slice(0, 5)
    const alone: number[] = []
    for (const example of examples) alone.push(...(await losses(executable, c, [[example]])))
    for (const rows of [[examples.slice(0, 2), examples.slice(2)], examples.map((example) => [example])]) {
      const together = await losses(executable, c, rows)
      expect(together.length).toBe(alone.length)
      for (const [i, loss] of together.entries()) expect(Math.abs(loss - (alone[i] ?? 0))).toBeLessThan(EXACT)
    }
    await executable.dispose()
  })
})
