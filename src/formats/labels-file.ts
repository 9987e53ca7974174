/**
 * @file `labels.json`: what a run's head is for and which label each of its outputs means. Must not know graphs or rows.
 */
import { join } from 'node:path'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readJson } from '../support/files.ts'
import { isRecord } from '../support/json.ts'
import { type HeadSpec, TASKS } from './task.ts'

export const LABELS_FILE = 'labels.json'

/** Writes it where there are labels to write. */
export async function writeLabels(folder: string, { task, labels }: HeadSpec): Promise<void> {
  if (labels.length === 0) return
  const label2id = Object.fromEntries(labels.map((label, id) => [label, id]))
  await writeFileAtomic(join(folder, LABELS_FILE), `${JSON.stringify({ task, labels, label2id }, null, 2)}\n`)
}

/** The head of a run folder; undefined where it has no labels. @throws LowrankError `format` */
export async function readLabels(folder: string): Promise<HeadSpec | undefined> {
  const file = join(folder, LABELS_FILE)
  if ((await pathKind(file)) !== 'file') return undefined
  const json = await readJson(file)
  const task = isRecord(json) ? TASKS.find((name) => name === json.task) : undefined
  const labels: unknown = isRecord(json) ? json.labels : undefined
  const words = Array.isArray(labels) ? labels.filter((label) => typeof label === 'string') : []
  if (task && Array.isArray(labels) && words.length === labels.length && words.length > 0)
    return { task, labels: words }
  throw new LowrankError('format', `${file} names no task with its labels`, { file, field: task ? 'labels' : 'task' })
}
