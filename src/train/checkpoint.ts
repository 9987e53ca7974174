/**
 * @file Checkpoints of a run: everything the next step depends on, in a folder that appears at once or not at all.
 * Must not know the loop. `checkpoint-N/` holds the adapter as PEFT has it (or the model), `optimizer.safetensors` with
 * the flat trained vectors and their moments, and `trainer_state.json`.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DataCursor } from '../data/batches.ts'
import type { Tensors } from '../engine/engine.ts'
import { readSafetensors, writeSafetensors } from '../formats/tensor-files.ts'
import { writeFileAtomic, writeFolderAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readJson } from '../support/files.ts'
import { isRecord } from '../support/json.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import type { Evaluated } from './best.ts'

/** Version of the state's meaning; another is refused instead of misread. */
const FORMAT = 1
const STATE = 'trainer_state.json'
const TENSORS = 'optimizer.safetensors'

/** Sums since the last line of the log. */
export interface LogWindow {
  loss: number
  labelled: number
  tokens: number
  seconds: number
}

/** The loop's own numbers after `step` steps. */
export interface Progress {
  /** Optimizer steps done. */
  step: number
  cursor: DataCursor
  /** Input tokens so far, padding not counted. */
  tokens: number
  seconds: number
  window: LogWindow
  /** Loss of the newest log line. */
  lastLoss: number
  evaluation: Evaluated | null
  best: Evaluated | null
}

/** A run that has not begun. */
export const freshProgress = (): Progress => ({
  step: 0,
  cursor: { epoch: 0, index: 0 },
  tokens: 0,
  seconds: 0,
  window: { loss: 0, labelled: 0, tokens: 0, seconds: 0 },
  lastLoss: 0,
  evaluation: null,
  best: null,
})

export interface Checkpoint {
  readonly path: string
  readonly progress: Progress
  /** What must be equal for the run to go on: settings and data. */
  readonly fingerprint: string
}

/** Steps of the checkpoints in a run folder, ascending; folders half-written under temporary names do not count. */
export async function listCheckpoints(output: string): Promise<number[]> {
  if ((await pathKind(output)) !== 'folder') return []
  const steps = (await readdir(output)).flatMap((name) => {
    const found = /^checkpoint-(\d+)$/.exec(name)
    return found?.[1] ? [Number(found[1])] : []
  })
  return steps.sort((a, b) => a - b)
}

export const checkpointPath = (output: string, step: number): string => join(output, `checkpoint-${step}`)

/** Writes a checkpoint; `writeWeights` puts the adapter or model files into the folder. */
export async function saveCheckpoint(
  output: string,
  checkpoint: Omit<Checkpoint, 'path'>,
  state: Tensors,
  writeWeights: (folder: string) => Promise<void>,
): Promise<string> {
  const path = checkpointPath(output, checkpoint.progress.step)
  await writeFolderAtomic(
    path,
    async (folder) => {
      await writeWeights(folder)
      await writeSafetensors(join(folder, TENSORS), new Map(Object.entries(state)))
      const { progress, fingerprint } = checkpoint
      await writeFileAtomic(
        join(folder, STATE),
        `${JSON.stringify({ format: FORMAT, fingerprint, ...progress }, null, 2)}\n`,
      )
    },
    { replace: true },
  )
  return path
}

/** Reads the newest checkpoint of a run, or undefined where there is none. @throws LowrankError naming a broken one. */
export async function newestCheckpoint(output: string): Promise<Checkpoint | undefined> {
  const step = (await listCheckpoints(output)).at(-1)
  return step === undefined ? undefined : await readCheckpoint(checkpointPath(output, step))
}

async function readCheckpoint(path: string): Promise<Checkpoint> {
  const file = join(path, STATE)
  const json = await readJson(file)
  const progress = isRecord(json) && json.format === FORMAT ? progressOf(json) : undefined
  if (!progress || !isRecord(json) || typeof json.fingerprint !== 'string')
    throw new LowrankError('format', `${file} is not a training state of this version of lowrank`, { file })
  return { path, fingerprint: json.fingerprint, progress }
}

/** Every number of a state, or undefined where one is missing: a run must not go on from half of it. */
function progressOf(json: Readonly<Record<string, unknown>>): Progress | undefined {
  const top = numbers(json, ['step', 'tokens', 'seconds', 'lastLoss'])
  const cursor = numbers(json.cursor, ['epoch', 'index'])
  const window = numbers(json.window, ['loss', 'labelled', 'tokens', 'seconds'])
  const [evaluation, best] = [json.evaluation, json.best].map((value) => (value === null ? null : evaluatedOf(value)))
  if (!top || !cursor || !window || evaluation === undefined || best === undefined) return undefined
  return { ...top, cursor, window, evaluation, best }
}

function evaluatedOf(value: unknown): Evaluated | undefined {
  const found = numbers(value, ['loss', 'step'])
  const metrics = isRecord(value) && isRecord(value.metrics) ? value.metrics : {}
  const all = numbers(metrics, Object.keys(metrics))
  return found && all && { ...found, metrics: all }
}

function numbers<K extends string>(value: unknown, names: readonly K[]): Record<K, number> | undefined {
  if (!isRecord(value)) return undefined
  const found = names.map((name) => [name, value[name]] as const)
  if (found.some(([, number]) => typeof number !== 'number' || !Number.isFinite(number))) return undefined
  return Object.fromEntries(found) as Record<K, number>
}

/** The tensors of a checkpoint, by the session's names. */
export async function readCheckpointState(checkpoint: Pick<Checkpoint, 'path'>): Promise<Record<string, HostTensor>> {
  return Object.fromEntries(await readSafetensors(join(checkpoint.path, TENSORS)))
}

/** Deletes all but the newest `keep` checkpoints; the one of step `best` stays besides. */
export async function pruneCheckpoints(output: string, keep: number, best?: number): Promise<void> {
  const steps = await listCheckpoints(output)
  for (const step of steps.slice(0, Math.max(0, steps.length - keep))) {
    if (step !== best) await rm(checkpointPath(output, step), { recursive: true, force: true })
  }
}
