/**
 * @file Runs from a start that was taken out of the base or found in the rows, against real PEFT: PEFT's losses step by
 * step and its folders (scripts/goldens/inits_trained.py); and lowrank's folders, opened by a PEFT where there is one.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { evaluate } from '../../src/run/evaluate.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import { pythonWith } from '../setup/python.ts'
import { TORCH } from '../tolerances.ts'

const goldens = fileURLToPath(new URL('../goldens', import.meta.url))
const lab = mkdtempSync(join(tmpdir(), 'lowrank-inits-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))

const baseOf = (base: string): string => join(goldens, 'models', base, 'model')
const rowsOf = (base: string): string => join(goldens, 'models', base, 'train.jsonl')
const configs: Record<string, { config: Record<string, unknown> }> = JSON.parse(
  readFileSync(join(goldens, 'inits', 'cases.json'), 'utf8'),
)

/** Every row in each step, at a constant rate. @returns the loss of each step, and of the rows after the last */
async function run(base: string, name: string, options: TrainOptions): Promise<number[]> {
  const common = { data: rowsOf(base), evalData: rowsOf(base), batchSize: 40, samples: 0, engine: 'reference' } as const
  const losses: number[] = []
  let after = Number.NaN
  const events = train({
    ...{ ...common, model: baseOf(base), schedule: 'constant', warmup: 0, logEvery: 1 },
    ...{ ...options, output: join(lab, name) },
  })
  for await (const event of events) {
    if (event.type === 'step') losses.push(event.loss)
    if (event.type === 'eval') after = event.evalLoss
  }
  return [...losses, after]
}

const lossWith = async (base: string, adapter: string): Promise<number> =>
  (await evaluate({ model: baseOf(base), adapter: [adapter], data: [rowsOf(base)], engine: 'reference' })).loss

describe.each(['pissa', 'pissa-gpt2', 'olora-rslora'])('%s', (name) => {
  const folder = join(goldens, 'inits', 'trained', name)
  const golden: { base: string; rate: number; untouched: number; losses: number[]; after: number } = JSON.parse(
    readFileSync(join(folder, 'golden.json'), 'utf8'),
  )

  it('trains as PEFT does: signs of singular vectors do not matter to the losses', async () => {
    const file = join(lab, `${name}.json`)
    writeFileSync(file, JSON.stringify(configs[name]?.config))
    const steps = golden.losses.length
    const losses = await run(golden.base, name, { loraConfig: file, steps, learningRate: golden.rate })
    const expected = [...golden.losses, golden.after]
    expect(losses.length).toBe(expected.length)
    for (const [i, loss] of expected.entries()) expect(Math.abs(loss - (losses[i] ?? 0))).toBeLessThan(TORCH.loss)
    expect(Math.abs((losses[0] ?? 0) - golden.untouched)).toBeLessThan(TORCH.loss)
  })

  it('PEFT’s own folder is opened on the untouched base, evaluated and merged', async () => {
    const adapter = join(folder, 'adapter')
    expect(Math.abs((await lossWith(golden.base, adapter)) - golden.after)).toBeLessThan(TORCH.loss)
    const output = join(lab, `${name}-merged`)
    await mergeAdapter({ model: baseOf(golden.base), adapter: [adapter], output })
    const merged = await evaluate({ model: output, data: [rowsOf(golden.base)], engine: 'reference' })
    expect(Math.abs(merged.loss - golden.after)).toBeLessThan(TORCH.merged)
  })
})

const python = pythonWith('peft')

describe.skipIf(!python)('folders that lowrank wrote, in real PEFT', () => {
  it('are the trained model, without a warning', async () => {
    const written: [base: string, folder: string, loss: number][] = []
    for (const [base, init, more] of [
      ['llama', 'pissa', {}],
      ['llama', 'pissa', { initForm: 'peft' }],
      ['llama', 'olora', { rslora: true }],
      ['llama', 'olora', { initForm: 'peft', rslora: true }],
      ['llama', 'pissa', { dora: true }],
      ['llama', 'eva', {}],
      ['llama', 'orthogonal', {}],
      ['gpt2', 'pissa', {}],
      ['gpt2', 'pissa', { initForm: 'peft' }],
      ['gpt2', 'olora', {}],
    ] as const) {
      const name = `to-peft-${written.length}`
      const losses = await run(base, name, { init, rank: 4, alpha: 6, steps: 3, learningRate: 3e-3, ...more })
      written.push([base, join(lab, name), losses.at(-1) ?? Number.NaN])
    }
    const script = fileURLToPath(new URL('../../scripts/goldens/peft_open.py', import.meta.url))
    const output = execFileSync(
      python ?? '',
      [script, ...written.flatMap(([base, folder]) => [join(goldens, 'models', base), folder])],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const lines = output.trim().split('\n')
    expect(lines.length).toBe(written.length)
    for (const [i, [, , expected]] of written.entries()) {
      const { loss, ...rest } = JSON.parse(lines[i] ?? '')
      expect(rest, `folder ${i}`).toEqual({ warnings: [], unexpected: [], onlyOurs: [], onlyTheirs: [] })
      expect(Math.abs(loss - expected), `folder ${i}`).toBeLessThan(TORCH.loss)
    }
  }, 600_000)
})
