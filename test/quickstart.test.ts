/** The quickstart as a newcomer runs it: everything it claims is checked against what it left in its folder. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { answer } from '../src/run/quickstart/measure.ts'
import { exactMatch, type OrderRow } from '../src/run/quickstart/task.ts'
import { quickstart } from '../src/run/quickstart.ts'
import type { QuickstartEvent, QuickstartResult } from '../src/run/types.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-quickstart-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const rowsOf = (file: string): OrderRow[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as OrderRow)

it('teaches the embedded base a task it could not do', { timeout: 900_000 }, async () => {
  const output = join(folder, 'run')
  const events: QuickstartEvent[] = []
  const run = quickstart({ output })
  let result: QuickstartResult | undefined
  while (result === undefined) {
    const next = await run.next()
    if (next.done) result = next.value
    else events.push(next.value)
  }
  expect(result.before.exactMatch).toBeLessThanOrEqual(0.3)
  expect(result.after.exactMatch).toBeGreaterThanOrEqual(0.9)
  expect(result.adapterBytes).toBe(statSync(join(output, 'adapter_model.safetensors')).size)
  expect(result.adapterBytes).toBeLessThanOrEqual(250_000)
  expect(events.filter((event) => event.type === 'example').map((event) => event.stage)).toEqual([
    ...['before', 'before', 'before'],
    ...['after', 'after', 'after'],
  ])

  const heldout = rowsOf(join(output, 'heldout.jsonl'))
  expect(heldout.length).toBe(result.heldout)
  const trained = readFileSync(join(output, 'train.jsonl'), 'utf8')
  for (const { completion } of heldout) {
    const { name, item, quantity, city } = JSON.parse(completion) as Record<string, string | number>
    for (const value of [name, item, city, quantity]) expect(trained).not.toMatch(new RegExp(`\\b${value}\\b`))
  }

  const engine = { engine: 'auto', threads: 'auto', dtype: 'auto' } as const
  const again = await answer(heldout, { model: 'lowrank-tiny', adapter: output, engine })
  expect(exactMatch(heldout, again)).toBe(result.after.exactMatch)
})
