/** @file A folder with tiny models and rows, and the command line asked for success or for one clear refusal. */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect } from 'vitest'
import { type CliOptions, type CliResult, runCli } from '../setup/run-cli.ts'
import { writeRows } from '../setup/tiny-model.ts'

/** A temporary folder of this test file; removed after it. */
export function labFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-e2e-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Texts of different lengths, all printable by the tiny tokenizer. */
export function textRows(count: number): { text: string }[] {
  return Array.from({ length: count }, (_, i) => ({ text: `row ${i} ${'the hen '.repeat(1 + (i % 5))}` }))
}

/** `input_ids` rows of the tiny models: they need no tokenizer. */
export function idRows(count: number): { input_ids: number[] }[] {
  return Array.from({ length: count }, (_, i) => ({
    input_ids: Array.from({ length: 3 + ((i * 7) % 11) }, (_, t) => (i * 31 + t * 17) % 250),
  }))
}

export const rowsFile = (folder: string, rows: readonly unknown[], name = 'rows.jsonl'): string =>
  writeRows(join(folder, name), rows)

export type Json = Record<string, unknown>

/** Runs a verb with `--json`, expects success, and answers its result and the events before it. */
export async function succeed(
  args: readonly string[],
  options?: CliOptions,
): Promise<{ result: Json; events: Json[]; stderr: string }> {
  const { code, stdout, stderr } = await runCli([...args, '--json'], options)
  expect({ code, stderr, stdout: code === 0 ? '' : stdout }).toEqual({ code: 0, stderr, stdout: '' })
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Json)
  const result = lines.at(-1)
  expect(result).toBeDefined()
  return { result: result ?? {}, events: lines.slice(0, -1), stderr }
}

export interface Refusal {
  readonly exit: 1 | 2
  /** What `error.code` is; anything when left out. */
  readonly code?: string
  /** What the one message says. */
  readonly says: RegExp | readonly RegExp[]
  /** A folder that must not be there, or must be as it was. */
  readonly untouched?: string
}

/** Expects a command to fail as the contract says: exit code, one message and no stack, the same as JSON. */
export async function refuse(args: readonly string[], refusal: Refusal, options?: CliOptions): Promise<CliResult> {
  const { exit, code, says, untouched } = refusal
  const before = untouched === undefined ? '' : snapshot(untouched)
  const plain = await runCli(args, options)
  const json = await runCli([...args, '--json'], options)
  const seen = `$ lowrank ${args.join(' ')}\n${plain.stderr}${plain.stdout}`
  for (const pattern of [says].flat()) expect(messageOf(plain.stderr), seen).toMatch(pattern)
  expect(plain.stderr, seen).not.toMatch(/^\s+at |internal:|fault of lowrank|TypeError|Error:/m)
  expect(plain.stderr.match(/^lowrank: /gm), seen).toHaveLength(1)
  expect([plain.code, json.code], seen).toEqual([exit, exit])
  const last = JSON.parse(json.stdout.trim().split('\n').at(-1) ?? '') as { error: { code: string; message: string } }
  expect(last.error.message, seen).toBeTypeOf('string')
  expect(last.error.code, seen).toMatch(code ?? /^(?!internal)/)
  if (untouched !== undefined) expect(snapshot(untouched), seen).toBe(before)
  return plain
}

/** Expects one message on stderr, after whatever progress there was, and exit code 1. For runs that fail on the way. */
export function expectFailure({ code, stderr }: CliResult, says: RegExp): void {
  expect(messageOf(stderr), stderr).toMatch(says)
  expect(stderr).not.toMatch(/^\s+at |internal:|fault of lowrank/m)
  expect(stderr.match(/^lowrank: /gm), stderr).toHaveLength(1)
  expect(code, stderr).toBe(1)
}

/** From `lowrank:` on: what stands before are notices and progress. */
function messageOf(stderr: string): string {
  return stderr.slice(Math.max(0, stderr.search(/^lowrank: /m)))
}

/** Names and contents of everything under a path; what is not there is ''. */
export function snapshot(path: string): string {
  if (!existsSync(path)) return ''
  if (!statSync(path).isDirectory()) return sha256(path)
  return readdirSync(path)
    .sort()
    .map((name) => `${name}=${snapshot(join(path, name))}`)
    .join('\n')
}

export function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

export const readLines = (file: string): Json[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Json)

/** Lines of a run's log without what the clock and the machine say. */
export function steadyLog(run: string): Json[] {
  return readLines(join(run, 'trainer_log.jsonl')).map((line) => {
    const {
      tokens_per_second: _,
      elapsed_seconds: __,
      remaining_seconds: ___,
      peak_memory_bytes: ____,
      ...steady
    } = line
    return steady
  })
}
