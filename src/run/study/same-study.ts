/** @file Whether a folder's study is the one that is asked for: it may have grown, but nothing in it may differ. */
import { kebab } from '../../config/option.ts'
import { LowrankError } from '../../support/errors.ts'
import { isRecord } from '../../support/json.ts'
import type { StudyPlan } from './plan.ts'

/** Version of the plan's meaning. */
const FORMAT = 1
/** Options that change no figure, or no more than another machine would. */
const MAY_DIFFER: ReadonlySet<string> = new Set(['threads', 'engine', 'logEvery', 'saveEvery', 'keep', 'samples'])

/** What was found of a setting's rows before the first run. */
export interface RowFacts {
  rows: number
  tokens: number
  heldRows?: number
  testRows?: number
}

interface SavedSetting {
  name: string
  options: Record<string, unknown>
  data?: RowFacts
}

interface SavedPlan {
  format: number
  crossed: boolean
  settings: SavedSetting[]
  seeds: { dataSeed: number; initSeed: number }[]
}

/** The plan as the folder keeps it. @param data by setting, where it was looked at; of the others what `before` has */
export function savedPlan(plan: StudyPlan, data: ReadonlyMap<string, RowFacts>, before: unknown): SavedPlan {
  const old = new Map(isSaved(before) ? before.settings.map(({ name, data: facts }) => [name, facts]) : [])
  const settings = plan.settings.map(({ name, options }) => {
    const facts = data.get(name) ?? old.get(name)
    return { name, options: { ...options }, ...(facts ? { data: facts } : {}) }
  })
  const first = plan.settings[0]?.name
  const seeds = plan.runs.filter(({ setting }) => setting === first)
  return {
    format: FORMAT,
    crossed: plan.crossed,
    settings,
    seeds: seeds.map(({ dataSeed, initSeed }) => ({ dataSeed, initSeed })),
  }
}

/** @throws LowrankError `usage` naming what differs. Settings and seeds may have been added. */
export function refuseAnother(
  saved: unknown,
  plan: StudyPlan,
  data: ReadonlyMap<string, RowFacts>,
  file: string,
): void {
  if (saved === undefined) return
  if (!isSaved(saved)) throw new LowrankError('format', `${file} is no plan of a study`, { file })
  const now = savedPlan(plan, data, undefined)
  const differs = (what: string, field: string): never => {
    throw new LowrankError('usage', `${what}: the study in ${file} is another one`, {
      file,
      field,
      suggestion: 'name another output folder, or give the settings and seeds it has; more of both may be added',
    })
  }
  if (saved.crossed !== now.crossed)
    differs(`seeds are ${now.crossed ? '' : 'not '}given as data-seeds × init-seeds`, 'seeds')
  for (const { dataSeed, initSeed } of saved.seeds) {
    if (now.seeds.some((seed) => seed.dataSeed === dataSeed && seed.initSeed === initSeed)) continue
    differs(`seed ${saved.crossed ? `${dataSeed} of data with ${initSeed} of weights` : dataSeed} is left out`, 'seeds')
  }
  for (const before of saved.settings) {
    const setting = now.settings.find(({ name }) => name === before.name)
    if (!setting) differs(`setting "${before.name}" is left out`, 'settings')
    else refuseChange(before, setting, differs)
  }
}

function refuseChange(
  before: SavedSetting,
  { name, options, data }: SavedSetting,
  differs: (what: string, field: string) => never,
): void {
  for (const option of new Set([...Object.keys(before.options), ...Object.keys(options)])) {
    if (MAY_DIFFER.has(option)) continue
    const [was, is] = [JSON.stringify(before.options[option]), JSON.stringify(options[option])]
    if (was !== is)
      differs(`setting "${name}": ${kebab(option)} is ${is ?? 'not given'}, not ${was ?? 'left out'}`, kebab(option))
  }
  if (before.data && data && JSON.stringify(before.data) !== JSON.stringify(data))
    differs(`setting "${name}": the rows have changed (${factsText(before.data)} then, ${factsText(data)} now)`, 'data')
}

const factsText = ({ rows, tokens, heldRows }: RowFacts): string =>
  `${rows} rows, ${tokens} tokens, ${heldRows} held out`

/** What a plan holds, in numbers; undefined where it is none. */
export function savedSize(plan: unknown): { settings: number; seeds: number; total: number } | undefined {
  if (!isSaved(plan)) return undefined
  const [settings, seeds] = [plan.settings.length, plan.seeds.length]
  return { settings, seeds, total: settings * seeds }
}

function isSaved(json: unknown): json is SavedPlan {
  return (
    isRecord(json) &&
    json.format === FORMAT &&
    typeof json.crossed === 'boolean' &&
    Array.isArray(json.settings) &&
    json.settings.every((one) => isRecord(one) && typeof one.name === 'string' && isRecord(one.options)) &&
    Array.isArray(json.seeds) &&
    json.seeds.every((one) => isRecord(one) && typeof one.dataSeed === 'number' && typeof one.initSeed === 'number')
  )
}
