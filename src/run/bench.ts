/**
 * @file `bench`: tokens a second and peak memory of LoRA training on this machine, against the matrix products it consists
 * of and, where it is installed, against PyTorch + PEFT, all measured in one run. Must not know terminals.
 */
import { fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolveOptions } from '../config/resolve.ts'
import type { BenchOptions, OutputOf } from '../config/verbs/index.ts'
import { parseHfConfig } from '../formats/hf-config.ts'
import { modelOf } from '../models/registry.ts'
import { LowrankError } from '../support/errors.ts'
import { readJson } from '../support/files.ts'
import { baseFolder } from './base-folder.ts'
import { type Measured, type MeasureSettings, stepFlops } from './bench/measure.ts'
import { findPeer, measurePeer } from './bench/peer.ts'
import { SMOLLM2_135M, writeRandomModel } from './bench/random-model.ts'
import { describeMachine } from './doctor/machine.ts'
import { openConfig } from './open-model.ts'
import type { BenchResult, NoticeEvent, ProgressEvent, Stoppable } from './types.ts'

type BenchSettings = OutputOf<'bench'>

/** Each side runs this often, taking turns; its best run counts, since a shared machine only ever slows a run down. */
const ROUNDS = 2

/**
 * Measures this machine.
 * @throws LowrankError `engine`, `missing` or `config`, naming what cannot be measured
 */
export async function* bench(
  options: BenchOptions & Stoppable = {},
): AsyncGenerator<NoticeEvent | ProgressEvent, BenchResult> {
  const { signal, ...given } = options
  const settings = resolveOptions('bench', given)
  const scratch = await mkdtemp(join(tmpdir(), 'lowrank-bench-'))
  try {
    const { folder, name } = await modelFolder(settings, scratch, signal)
    const measure: MeasureSettings = {
      model: folder,
      sequence: settings.sequence,
      batchSize: settings.batchSize,
      steps: settings.steps,
      rank: settings.rank,
      targets: settings.targets,
      engine: settings.engine,
      threads: settings.threads,
      recompute: settings.recompute === 'on',
    }
    return yield* rounds(name, measure, settings, signal)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function* rounds(
  name: string,
  measure: MeasureSettings,
  settings: BenchSettings,
  signal: AbortSignal | undefined,
): AsyncGenerator<NoticeEvent | ProgressEvent, BenchResult> {
  const peer = settings.peer ? await findPeer(settings.python) : { without: 'it was not asked for' }
  if ('without' in peer) yield { type: 'notice', message: `PyTorch + PEFT is not measured: ${peer.without}` }
  const total = ROUNDS * ('python' in peer ? 2 : 1) + 1
  const progress = (label: string, done: number): ProgressEvent => ({ type: 'progress', label, done, total })
  yield progress('matrix products', 0)
  const { gflops } = await inChild<{ gflops: number }>('products', measure, signal)
  const ours: Measured[] = []
  const theirs: NonNullable<BenchResult['peer']>[] = []
  for (let round = 0; round < ROUNDS; round++) {
    yield progress('lowrank', 1 + ours.length + theirs.length)
    ours.push(await inChild<Measured>('training', measure, signal))
    if (!('python' in peer)) continue
    yield progress('PyTorch + PEFT', 1 + ours.length + theirs.length)
    theirs.push(await measurePeer(peer.python, measure))
  }
  yield progress('done', total)
  return await resultOf(name, measure, {
    gflops,
    ours,
    theirs,
    ...('without' in peer ? { without: peer.without } : {}),
  })
}

interface Runs {
  readonly gflops: number
  readonly ours: readonly Measured[]
  readonly theirs: readonly NonNullable<BenchResult['peer']>[]
  readonly without?: string
}

async function resultOf(
  name: string,
  measure: MeasureSettings,
  { gflops, ours, theirs, without }: Runs,
): Promise<BenchResult> {
  const model = await openConfig(join(measure.model, 'config.json'))
  const best = fastest(ours)
  const peer = theirs.length > 0 ? fastest(theirs) : undefined
  const { cpu, cores, memoryBytes } = describeMachine()
  const possible = (gflops * 1e9) / stepFlops(model, 1)
  return {
    machine: { cpu, cores, memoryBytes },
    model: { name, parameters: best.parameters, trainable: best.trainable },
    settings: {
      sequence: measure.sequence,
      batchSize: measure.batchSize,
      rank: measure.rank,
      steps: measure.steps,
      threads: measure.threads === 'auto' ? cores : measure.threads,
      engine: best.engine,
    },
    lowrank: {
      tokensPerSecond: best.tokensPerSecond,
      secondsPerStep: best.secondsPerStep,
      peakMemoryBytes: Math.max(...ours.map((m) => m.peakMemoryBytes)),
      loadSeconds: best.loadSeconds,
      loadedBytes: best.loadedBytes,
    },
    limit: { gflops, tokensPerSecond: possible, share: best.tokensPerSecond / possible },
    ...(peer ? { peer: { ...peer, peakMemoryBytes: Math.min(...theirs.map((m) => m.peakMemoryBytes)) } } : {}),
    ...(peer
      ? {
          ratio: {
            speed: best.tokensPerSecond / peer.tokensPerSecond,
            memory: best.peakMemoryBytes / peer.peakMemoryBytes,
          },
        }
      : {}),
    ...(without === undefined ? {} : { withoutPeer: without }),
  }
}

function fastest<T extends { readonly tokensPerSecond: number }>(runs: readonly T[]): T {
  const [best] = [...runs].sort((a, b) => b.tokensPerSecond - a.tokensPerSecond)
  if (!best) throw new Error('internal: nothing was measured')
  return best
}

async function modelFolder(
  settings: BenchSettings,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<{ folder: string; name: string }> {
  if (settings.model !== undefined) {
    const { revision, offline } = settings
    return { folder: await baseFolder(settings.model, { revision, offline, signal }), name: settings.model }
  }
  const config = settings.fromConfig === undefined ? SMOLLM2_135M : ((await readJson(settings.fromConfig)) as object)
  const file = settings.fromConfig ?? 'SmolLM2-135M'
  await writeRandomModel(scratch, config, modelOf(parseHfConfig(config, file)))
  return { folder: scratch, name: settings.fromConfig ?? 'random weights of SmolLM2-135M’s shape' }
}

/** The child is started from JavaScript: beside this file once compiled, in dist/ when this file runs as TypeScript. */
function childFile(): URL {
  const source = import.meta.url.endsWith('.ts')
  return new URL(source ? '../../dist/run/bench/child.js' : './bench/child.js', import.meta.url)
}

/** A process of its own, whose peak memory is that of the measurement alone. */
async function inChild<T>(
  task: 'products' | 'training',
  settings: MeasureSettings,
  signal: AbortSignal | undefined,
): Promise<T> {
  const child = fork(fileURLToPath(childFile()), [task, JSON.stringify(settings)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    ...(signal ? { signal } : {}),
  })
  let [result, said]: [T | undefined, string] = [undefined, '']
  child.on('message', (message) => {
    result = message as T
  })
  child.stderr?.on('data', (text: Buffer) => {
    said += text.toString()
  })
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve())
  })
  if (result !== undefined) return result
  throw new LowrankError(
    'engine',
    `measuring ${task} failed: ${
      said
        .trim()
        .split('\n')
        .findLast((line) => /Error/.test(line)) ?? said.slice(-300)
    }`,
  )
}
