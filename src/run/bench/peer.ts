/** @file PyTorch + PEFT on the same shape, where a Python with them is found. Must not know lowrank's engines. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { isRecord, parseJson } from '../../support/json.ts'
import type { BenchResult } from '../types.ts'
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

/** One run of the peer. */
export async function measurePeer(
  python: string,
  settings: MeasureSettings,
): Promise<NonNullable<BenchResult['peer']>> {
  const threads = settings.threads === 'auto' ? [] : ['--threads', String(settings.threads)]
  const { stdout } = await run(
    python,
    [
      SCRIPT,
      '--model',
      settings.model,
      '--seq',
      String(settings.sequence),
      '--batch',
      String(settings.batchSize),
      '--rank',
      String(settings.rank),
      '--steps',
      String(settings.steps),
      ...threads,
    ],
    { maxBuffer: 1 << 24 },
  )
  const json = parseJson(stdout.trim().split('\n').at(-1) ?? '', { file: 'the peer' })
  const number = (key: string): number => (isRecord(json) ? Number(json[key]) : Number.NaN)
  const text = (key: string): string => (isRecord(json) ? String(json[key]) : '')
  const tokensPerSecond = number('tokens_per_second')
  return {
    python,
    torch: text('torch'),
    peft: text('peft'),
    tokensPerSecond,
    secondsPerStep: (settings.sequence * settings.batchSize) / tokensPerSecond,
    peakMemoryBytes: number('peak_memory_bytes'),
  }
}
