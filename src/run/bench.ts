/**
 * @file `bench`: tokens a second and peak memory of LoRA training on this machine, against the matrix products it consists
 * of and, where it is installed, against PyTorch + PEFT, all measured in one run. Must not know terminals.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveOptions } from '../config/resolve.ts'
import type { BenchOptions, OutputOf } from '../config/verbs/index.ts'
import { parseHfConfig } from '../formats/hf-config.ts'
import type { HeadSpec } from '../formats/task.ts'
import { modelOf } from '../models/registry.ts'
import { LowrankError } from '../support/errors.ts'
import { readJson } from '../support/files.ts'
import { baseFolder } from './base-folder.ts'
import { inChild } from './bench/in-child.ts'
import type { Measured, MeasureSettings } from './bench/measure.ts'
import { findPeer, measurePeer } from './bench/peer.ts'
import { stepFlops } from './bench/products.ts'
import { profileFrom } from './bench/profile.ts'
import { writeProfilePage } from './bench/profile-page.ts'
import { SMOLLM2_135M, writeRandomModel } from './bench/random-model.ts'
import { writeRows } from './bench/rows.ts'
import { describeMachine } from './doctor/machine.ts'
import { openTokenizer } from './open-for-use.ts'
import { openConfig, openModel } from './open-model.ts'
import type { BenchResult, BenchVariant, NoticeEvent, ProgressEvent, Stoppable } from './types.ts'

type BenchSettings = OutputOf<'bench'>
type Peer = NonNullable<BenchResult['peer']>

/** Each side runs this often, taking turns; its best run counts, since a shared machine only ever slows a run down. */
const ROUNDS = 2

/** What `--variants` measures besides. */
const VARIANTS = [
  { name: 'rank 64', rank: 64 },
  { name: 'dropout 0.05', dropout: 0.05 },
] as const

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
    const measure = await measureSettings(settings, folder, scratch, signal)
    return yield* rounds({ name, measure, settings, signal })
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function measureSettings(
  settings: BenchSettings,
  folder: string,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<MeasureSettings> {
  const { sequence, batchSize, steps, rank, dropout, targets, engine, threads, data } = settings
  const plain = { sequence, batchSize, steps, rank, dropout, targets, engine, threads }
  const measure = { ...plain, model: folder, recompute: settings.recompute === 'on' }
  const { spec } = await openConfig(join(folder, 'config.json'))
  if (data === undefined) return { ...measure, head: measuredHead(spec) }
  const rows = join(scratch, 'rows.json')
  const { tokenizer, maxLength, trainOn } = settings
  const asked = { data, tokenizer, maxLength, trainOn }
  const base = await openModel(folder, keepsHead(spec) ? spec : { task: 'embedding', labels: [] })
  const { written, head } = await writeRows(rows, steps * batchSize, asked, base, signal)
  if (written < batchSize)
    throw new LowrankError('data', `${data}: ${written} rows do not make a batch of ${batchSize}`, { field: 'data' })
  return { ...measure, rows, steps: Math.floor(written / batchSize), head }
}

/** What the peer has too: language models, and encoders that tell texts apart. */
const keepsHead = ({ task }: HeadSpec): boolean => task === 'causal-lm' || task === 'classification'

function measuredHead(spec: HeadSpec): HeadSpec {
  return keepsHead(spec) ? spec : { task: 'classification', labels: ['LABEL_0', 'LABEL_1'] }
}

interface Run {
  readonly name: string
  readonly measure: MeasureSettings
  readonly settings: BenchSettings
  readonly signal: AbortSignal | undefined
}

interface Runs {
  readonly gflops: number
  readonly ours: Measured[]
  readonly theirs: Peer[]
  readonly variants: readonly { readonly settings: MeasureSettings; readonly name: string; readonly runs: Measured[] }[]
  readonly profiled?: Measured | undefined
  readonly without: string | undefined
}

async function* rounds(run: Run): AsyncGenerator<NoticeEvent | ProgressEvent, BenchResult> {
  const { measure, settings, signal } = run
  const peer = settings.peer ? await findPeer(settings.python) : { without: 'it was not asked for' }
  const without = 'without' in peer ? peer.without : undefined
  if (without !== undefined) yield { type: 'notice', message: `PyTorch + PEFT is not measured: ${without}` }
  const variants = (settings.variants ? VARIANTS : []).map(({ name, ...differs }) => ({
    name,
    settings: { ...measure, ...differs },
    runs: [] as Measured[],
  }))
  const sides = 1 + variants.length + ('python' in peer ? 1 : 0)
  const total = ROUNDS * sides + 1 + (settings.profile ? 1 : 0)
  let done = 0
  const progress = (label: string): ProgressEvent => ({ type: 'progress', label, done: done++, total })
  yield progress('matrix products')
  const { gflops } = await inChild('products', measure, signal)
  const runs: Runs = { gflops, ours: [], theirs: [], variants, without }
  for (let round = 0; round < ROUNDS; round++) {
    yield progress('lowrank')
    runs.ours.push(await inChild('training', measure, signal))
    for (const variant of variants) {
      yield progress(`lowrank, ${variant.name}`)
      variant.runs.push(await inChild('training', variant.settings, signal))
    }
    if (!('python' in peer)) continue
    yield progress('PyTorch + PEFT')
    runs.theirs.push(await measurePeer(peer.python, measure, signal))
  }
  if (settings.profile) yield progress('profile')
  const profiled = settings.profile ? await inChild('training', { ...measure, profile: true }, signal) : undefined
  yield { type: 'progress', label: 'done', done: total, total }
  return await resultOf(run, { ...runs, profiled })
}

async function resultOf({ name, measure, settings }: Run, runs: Runs): Promise<BenchResult> {
  const model = await openConfig(join(measure.model, 'config.json'), measure.head)
  const best = fastest(runs.ours)
  const peer = runs.theirs.length > 0 ? fastest(runs.theirs) : undefined
  const { cpu, cores, memoryBytes } = describeMachine()
  const possible = (runs.gflops * 1e9) / stepFlops(model, 1)
  const { sequence, batchSize, rank, dropout, steps, recompute } = measure
  const lowrank = {
    ...sideOf(best),
    peakMemoryBytes: Math.max(...runs.ours.map((m) => m.peakMemoryBytes)),
    loadSeconds: best.loadSeconds,
    loadedBytes: best.loadedBytes,
  }
  const theirs = peer && { ...peer, peakMemoryBytes: Math.min(...runs.theirs.map((m) => m.peakMemoryBytes)) }
  const ratio = theirs && {
    speed: best.tokensPerSecond / theirs.tokensPerSecond,
    memory: lowrank.peakMemoryBytes / theirs.peakMemoryBytes,
  }
  const result: BenchResult = {
    machine: { cpu, cores, memoryBytes },
    model: { name, parameters: best.parameters, trainable: best.trainable },
    settings: {
      ...{ sequence, batchSize, rank, dropout, steps, recompute },
      threads: measure.threads === 'auto' ? cores : measure.threads,
      engine: best.engine,
      task: model.spec.task,
      ...(settings.data ? { data: { files: settings.data, rows: steps * batchSize } } : {}),
    },
    lowrank,
    limit: { gflops: runs.gflops, tokensPerSecond: possible, share: best.tokensPerSecond / possible },
    ...(theirs ? { peer: theirs } : {}),
    ...(ratio ? { ratio } : {}),
    ...(runs.without === undefined ? {} : { withoutPeer: runs.without }),
    ...(runs.variants.length > 0 ? { variants: runs.variants.map((variant) => variantOf(variant, best)) } : {}),
  }
  if (!runs.profiled?.profile) return result
  const profile = profileFrom(runs.profiled.profile, settings.output)
  await writeProfilePage(settings.output, { ...result, profile })
  return { ...result, profile }
}

function sideOf({ tokensPerSecond, rowsPerSecond, secondsPerStep, peakMemoryBytes, padding }: Measured) {
  return { tokensPerSecond, rowsPerSecond, secondsPerStep, peakMemoryBytes, padding }
}

function variantOf({ name, settings, runs }: Runs['variants'][number], base: Measured): BenchVariant {
  const best = fastest(runs)
  const { rank, dropout } = settings
  return { ...sideOf(best), name, rank, dropout, cost: best.secondsPerStep / base.secondsPerStep - 1 }
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
  const shape = settings.fromConfig === undefined ? SMOLLM2_135M : ((await readJson(settings.fromConfig)) as object)
  const config = { ...shape, ...(await vocabularyFor(shape, settings)) }
  const file = settings.fromConfig ?? 'SmolLM2-135M'
  const raw = parseHfConfig(config, file)
  await writeRandomModel(scratch, config, modelOf(raw, measuredHead(modelOf(raw).spec)))
  return { folder: scratch, name: settings.fromConfig ?? 'random weights of SmolLM2-135M’s shape' }
}

/** Random weights know no tokenizer: they get a vocabulary in which all of its ids are. */
async function vocabularyFor(shape: object, { data, tokenizer }: BenchSettings): Promise<{ vocab_size?: number }> {
  if (data === undefined || tokenizer === undefined) return {}
  const ids = (await openTokenizer(tokenizer, tokenizer))?.vocabSize ?? 0
  return ids > Number(Reflect.get(shape, 'vocab_size')) ? { vocab_size: ids } : {}
}
