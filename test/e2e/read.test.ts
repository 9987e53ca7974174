/** @file classify and embed as their users run them: what goes to stdout, what to stderr, exit codes. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run, some, withTokenizer } from '../infer/classifying.ts'
import { type CliOptions, type CliResult, runCli } from '../setup/run-cli.ts'
import { tinyBert, writeRows, writeTinyModel } from '../setup/tiny-model.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-read-'))
const at = (...parts: string[]): string => join(folder, ...parts)
const lowrank = (command: string, options: CliOptions = {}): Promise<CliResult> =>
  runCli(command.split(' '), { cwd: folder, ...options })
const lastOf = (text: string): unknown => JSON.parse(text.trim().split('\n').at(-1) ?? '')

beforeAll(async () => {
  const model = withTokenizer(await writeTinyModel(at('bert'), tinyBert))
  const data = writeRows(at('rows.jsonl'), some)
  const numbers = writeRows(
    at('numbers.jsonl'),
    some.map(({ text }, i) => ({ text, label: i / 5 })),
  )
  await run({ model, data, output: at('run'), rank: 2 })
  await run({ model, data: numbers, output: at('number'), rank: 2 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('classify', () => {
  it('writes a table of a file, and says on stderr how fast it read', async () => {
    const { code, stdout, stderr } = await lowrank('classify --adapter run --data rows.jsonl')
    expect(code).toBe(0)
    const [heading, ...lines] = stdout.trimEnd().split('\n')
    expect(heading).toMatch(/^ +text +label +probability$/)
    expect(lines).toHaveLength(some.length)
    expect(lines[0]).toMatch(/^ {2}a a good +(no|yes|well) +0\.\d{4} +(no|yes|well) 0\.\d{4}, (no|yes|well) 0\.\d{4}$/)
    expect(stderr).toMatch(/24 rows, \d+ tokens, [\d,]+ tokens\/s/)
  })

  it('reads a text from stdin; several adapters by row give labels and numbers, as JSON a list', async () => {
    const { stdout } = await lowrank('classify --adapter run --text -', { stdin: 'a good\n' })
    expect(stdout).toMatch(/^ {2}(no|yes|well) +0\.\d{4}$/m)
    writeRows(at('mixed.jsonl'), [
      { text: 'a', adapter: 'n' },
      { text: 'b', adapter: 'c' },
    ])
    const mixed = await lowrank('classify --adapter n=number --adapter c=run --data mixed.jsonl --top-k 1 --json')
    expect(lastOf(mixed.stdout)).toEqual([
      { value: expect.any(Number) },
      { label: expect.any(String), score: expect.any(Number), scores: expect.any(Object) },
    ])
    const table = await lowrank('classify --adapter number --data rows.jsonl')
    expect(table.stdout).toMatch(/^ +text +value\n {2}a a good +-?\d/)
  })

  it('says what is missing', async () => {
    const none = await lowrank('classify --model bert --text a')
    expect(none.code).toBe(2)
    expect(none.stderr).toContain('lowrank train --model')
    expect((await lowrank('classify --adapter run --text-pair a')).stderr).toContain('give the first as --text')
    expect((await lowrank('classify --adapter run')).stderr).toContain('classify needs --text, or --data')
  })
})

describe('embed', () => {
  it('writes a line of numbers a text, a list as JSON, or a file', async () => {
    const { stdout } = await lowrank('embed --model bert --text a')
    const numbers = stdout.trim().split(' ').map(Number)
    expect(numbers).toHaveLength(16)
    const json = await lowrank('embed --model bert --text a --json')
    const [vector = []] = lastOf(json.stdout) as number[][]
    for (const [i, x] of vector.entries()) expect(numbers[i]).toBeCloseTo(x, 6)
    const file = await lowrank('embed --model bert --data rows.jsonl --normalize --output v.jsonl')
    expect(file.stdout).toBe('24 vectors of 16 numbers in v.jsonl\n')
    expect(readFileSync(at('v.jsonl'), 'utf8').trim().split('\n')).toHaveLength(24)
    const again = await lowrank('embed --model bert --data rows.jsonl --output v.jsonl --json')
    expect(again.code).toBe(2)
    expect(lastOf(again.stdout)).toMatchObject({ error: { code: 'usage', field: 'output' } })
  })
})
