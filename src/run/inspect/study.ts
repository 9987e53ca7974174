/** @file How far a study is, by its plan and the records of its runs. Must not know how runs are made. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathKind, readJson } from '../../support/files.ts'
import { isRecord } from '../../support/json.ts'
import { savedSize } from '../study/same-study.ts'
import { PLAN_FILE, STUDY_FILE } from '../study/study-folder.ts'
import type { StudyFacts } from '../types.ts'

/** Facts of a study's folder; undefined of one that holds none. */
export async function studyFacts(folder: string): Promise<StudyFacts | undefined> {
  const plan = join(folder, PLAN_FILE)
  if ((await pathKind(plan)) !== 'file') return undefined
  const size = savedSize(await readJson(plan))
  if (!size) return undefined
  const file = join(folder, STUDY_FILE)
  const result = (await pathKind(file)) === 'file' ? await readJson(file) : undefined
  const groups = isRecord(result) && Array.isArray(result.groups) ? result.groups.filter(isRecord) : []
  return {
    ...size,
    done: await countRecords(join(folder, 'runs')),
    ...(isRecord(result) && typeof result.metric === 'string' ? { metric: result.metric } : {}),
    groups: groups.flatMap(({ name, mean, std, n }) =>
      typeof name === 'string' && typeof n === 'number' ? [{ name, n, mean: numberOr(mean), std: numberOr(std) }] : [],
    ),
  }
}

const numberOr = (value: unknown): number | null => (typeof value === 'number' ? value : null)

async function countRecords(runs: string): Promise<number> {
  if ((await pathKind(runs)) !== 'folder') return 0
  let count = 0
  for (const setting of await readdir(runs, { withFileTypes: true })) {
    if (!setting.isDirectory()) continue
    const names = await readdir(join(runs, setting.name))
    count += names.filter((name) => /^(seed-\d+|data-\d+-init-\d+)\.json$/.test(name)).length
  }
  return count
}
