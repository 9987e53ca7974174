/** @file PyTorch + PEFT on the same shape, where a Python with them is found. Must not know lowrank's engines. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { LowrankError } from '../../support/errors.ts'
import { isRecord, parseJson } from '../../support/json.ts'
import type { BenchResult } from '../types.ts'
import { stopped } from './in-child.ts'
import type { MeasureSettings } from './measure.ts'

const run = promisify(execFile)
const SCRIPT = fileURLToPath(new URL('../../../bench/peers/torch_peft.py', import.meta.url))

/** The first Python that can import torch and peft, or why there is none. */
export async function findPeer(named: string | undefined): Promise<{ python: string } | { without: string }> {
  const candidates = named
    ? [named]
    : [process.env.LOWRANK_PYTHON, 'python3'].filter((p) => p !== undefined && p !== '')
  for (const python of candidates) {
    if (python === undefined) continue
    try {
      await run(python, ['-c', 'import torch, peft'], { timeout: 120_000 })
      return { python }
    } catch {
      // Tried the next one below.
    }
  }
  return { without: `no Python with torch and peft (tried ${candidates.join(', ')}); name one with --python` }
}

/** One run of the peer. @throws LowrankError `engine` with Python's own words, `stopped` by its signal */
export async function measurePeer(
  python: string,
  settings: MeasureSettings,
  signal: AbortSignal | undefined,
): Promise<NonNullable<BenchResult['peer']>> {
  const limits = { maxBuffer: 1 << 24, ...(signal ? { signal } : {}) }
  const { stdout } = await run(python, [SCRIPT, ...peerArguments(settings)], limits).catch((error: unknown) => {
    if (signal?.aborted) throw stopped()
    const said = isRecord(error) ? String(error.stderr ?? '').trim() : ''
    const last = said.split('\n').at(-1) || 'it said nothing'
    throw new LowrankError('engine', `measuring PyTorch + PEFT failed: ${last}`, { field: 'python' })
  })
  const json = parseJson(stdout.trim().split('\n').at(-1) ?? '', { file: 'the peer' })
  const number = (key: string): number => (isRecord(json) ? Number(json[key]) : Number.NaN)
  const text = (key: string): string => (isRecord(json) ? String(json[key]) : '')
  return {
    python,
    torch: text('torch'),
    peft: text('peft'),
    tokensPerSecond: number('tokens_per_second'),
    rowsPerSecond: number('rows_per_second'),
    secondsPerStep: number('seconds_a_step'),
    peakMemoryBytes: number('peak_memory_bytes'),
    padding: number('padding'),
  }
}

function peerArguments(settings: MeasureSettings): string[] {
  const { model, head, sequence, batchSize, rank, dropout, steps, threads, rows } = settings
  const labels = head?.labels.length ?? 0
  const values = { model, seq: sequence, batch: batchSize, rank, dropout, steps, labels }
  return [
    ...Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]),
    // A step on rows is long: one warms up enough.
    ...(rows === undefined ? [] : ['--rows', rows, '--warmup', '1']),
    ...(threads === 'auto' ? [] : ['--threads', String(threads)]),
  ]
}
