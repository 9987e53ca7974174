/**
 * @file From a study's options to its runs: settings named and checked against train's own options, crossed with seeds.
 * Must not know how runs are made. Everything that can be wrong with the words is found here, before anything starts.
 */
import { fromValue } from '../../config/coerce.ts'
import { placesIn } from '../../config/nested.ts'
import { camel, kebab, optionFacts } from '../../config/option.ts'
import { resolveSettings, type Setting, type Settings, unknownOption } from '../../config/resolve.ts'
import type { VerbSpec } from '../../config/verb.ts'
import type { TrainOptions } from '../../config/verbs/index.ts'
import { trainVerb } from '../../config/verbs/train.ts'
import { isLowrankError, LowrankError } from '../../support/errors.ts'
import { isRecord } from '../../support/json.ts'
import type { RunName, StudyOptions } from './types.ts'

export interface PlannedSetting {
  readonly name: string
  /** Its folder below `runs/`. */
  readonly folder: string
  /** What it says beyond the base. */
  readonly own: Record<string, unknown>
  /** Everything given to train but seeds and output. */
  readonly options: TrainOptions
}

export interface PlannedRun extends RunName {
  /** Below the study's folder: `runs/baseline/seed-3`. */
  readonly folder: string
  readonly options: TrainOptions
}

export interface StudyPlan {
  readonly settings: readonly PlannedSetting[]
  /** All settings with the first seed, then with the next: what is done so far can be compared at any time. */
  readonly runs: readonly PlannedRun[]
  /** Seeds of data and of new weights are crossed. */
  readonly crossed: boolean
}

const DEFAULT_SEEDS = 5
/** More than any machine gets through; bounds what a slip of the pen can ask for. */
const MAX_RUNS = 100_000
const SPLIT_SEED = 1
const SETTINGS = 'name sets of options, as [{name: baseline}, {name: longer, epochs: 9}], or leave settings out'
const GRID = 'name options with the values they take, as {rank: [4, 8]}, or leave grid out'
const SEEDS = 'say how many, as 5, or which, as [1, 2, 3]'
const train: VerbSpec = trainVerb

/** Options of train that are the study's to set, and who sets them. */
const OWNED: ReadonlyMap<string, string> = new Map([
  ...['seed', 'dataSeed', 'initSeed'].map((name) => [name, 'seeds of a study stand in seeds'] as const),
  ['output', 'each run has a folder of its own below the output of the study'],
  ...['resume', 'overwrite'].map((name) => [name, 'a study is gone on with by its own resume'] as const),
  ...['dryRun', 'printGraph'].map((name) => [name, 'the runs of a study are trained'] as const),
])

/** @throws LowrankError `usage` naming the word, its line where there is one, and the nearest that would do */
export function planStudy(options: StudyOptions): StudyPlan {
  const base = optionsIn(options.base ?? {}, 'base', 'file')
  const cells = gridCells(options.grid)
  const named = namedSettings(options.settings)
  const settings = named.flatMap((setting) => cells.map((cell) => joined(setting, cell)))
  refuseTwice(settings.map(({ name }) => name))
  const folders = foldersOf(settings.map(({ name }) => name))
  const planned = settings.map(({ name, own }, i) => ({
    name,
    folder: folders[i] ?? name,
    own: Object.fromEntries(Object.entries(own).map(([word, { value }]) => [word, value])),
    options: checked(name, { ...base, ...own }, settings.length > 1),
  }))
  const { seeds, crossed } = seedsOf(options)
  if (planned.length * seeds.length > MAX_RUNS)
    throw new LowrankError('usage', `${planned.length} settings × ${seeds.length} seeds are too many runs`, {
      field: 'seeds',
    })
  const runs = seeds.flatMap((seed) => planned.map((setting) => runOf(setting, seed, crossed)))
  return { settings: planned, runs, crossed }
}

interface Named {
  readonly name: string
  readonly own: Settings
}

/** A name of a setting and of a grid's cell: both, where both say something. */
function joined(setting: Named, cell: Named): Named {
  const name = [setting.name, cell.name].filter((part) => part !== '').join(', ')
  return { name: name === '' ? 'base' : name, own: { ...setting.own, ...cell.own } }
}

function namedSettings(settings: StudyOptions['settings']): Named[] {
  if (settings === undefined) return [{ name: '', own: {} }]
  if (settings.length === 0)
    throw nothingIn('settings', 'settings: a study needs at least one', SETTINGS, placesIn(settings)?.get(''))
  return settings.map((entry, i) => {
    const { name, ...rest } = entry as Readonly<Record<string, unknown>>
    const file = placesIn(entry)?.get('name') ?? placesIn(entry)?.values().next().value
    if ((typeof name !== 'string' && typeof name !== 'number') || String(name).trim() === '')
      throw new LowrankError('usage', `setting ${i + 1} has no name: write "name: baseline" in it`, {
        field: 'settings',
        file,
      })
    return { name: String(name).trim(), own: optionsIn(rest, `settings: ${name}`, 'flag', placesIn(entry)) }
  })
}

function gridCells(grid: StudyOptions['grid']): Named[] {
  if (grid === undefined) return [{ name: '', own: {} }]
  const places = placesIn(grid)
  const axes = Object.entries(grid).map(([label, values]) => {
    const file = places?.get(label)
    if (!Array.isArray(values))
      throw new LowrankError('usage', `grid: ${label} needs a list of values, as [1, 2]`, { field: label, file })
    if (values.length === 0)
      throw nothingIn(label, `grid: ${label} has no values`, `give it some, as ${label}: [1, 2]`, file)
    return values.map((value: unknown) => {
      const own = optionsIn({ [label]: value }, 'grid', 'flag', places)
      const [setting] = Object.values(own)
      return { name: `${kebab(camel(label))}=${shown(setting?.value)}`, own }
    })
  })
  if (axes.length === 0) throw nothingIn('grid', 'the grid is empty', GRID, places?.get(''))
  return axes.reduce<Named[]>(
    (cells, axis) => cells.flatMap((cell) => axis.map((value) => joinedCell(cell, value))),
    [{ name: '', own: {} }],
  )
}

function joinedCell(cell: Named, value: Named): Named {
  return {
    name: [cell.name, value.name].filter((part) => part !== '').join(', '),
    own: { ...cell.own, ...value.own },
  }
}

/** Settings as `resolveSettings` takes them; what a setting says is louder than the base, so that it may silence it. */
function optionsIn(
  map: Readonly<Record<string, unknown>>,
  where: string,
  source: Setting['source'],
  places = placesIn(map),
): Settings {
  const settings: Record<string, Setting> = {}
  for (const [label, value] of Object.entries(map)) {
    if (value === undefined) continue
    const [name, place] = [camel(label), places?.get(label)]
    const option = Object.hasOwn(train.options, name) ? train.options[name] : undefined
    const at = place === undefined ? {} : { place }
    if (!option) throw unknownOption(train, name, { label: `${where}: ${label}`, ...at }, label)
    const reason = OWNED.get(name)
    if (reason) throw new LowrankError('usage', `${where}: ${label}: ${reason}`, { field: kebab(name), file: place })
    if (settings[name])
      throw new LowrankError('usage', `${where}: ${label} is given twice (also as ${settings[name].label})`, {
        field: kebab(name),
        file: place,
      })
    // Words of a file are read as those of a run file; a library call means what it says.
    settings[name] = { value: places ? fromValue(optionFacts(option), value) : value, source, label, ...at }
  }
  return settings
}

function checked(name: string, settings: Settings, several: boolean): TrainOptions {
  try {
    return resolveSettings('train', settings, 'call').given
  } catch (error) {
    if (!several || !isLowrankError(error)) throw error
    const { code, message, file, field, suggestion } = error
    throw new LowrankError(code, `setting ${name}: ${message}`, { file, field, suggestion, cause: error })
  }
}

function refuseTwice(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined)
    throw new LowrankError('usage', `two settings are called "${twice}"`, {
      field: 'settings',
      suggestion: 'give each setting a name of its own, and each value of the grid once',
    })
}

/** Names that every file system takes, no two of them alike even where case does not count. */
function foldersOf(names: readonly string[]): string[] {
  const taken = new Set<string>()
  return names.map((name) => {
    const plain =
      name
        .replace(/[^\w.=+-]+/g, '-')
        .replace(/^[-.]+|[-.]+$/g, '')
        .slice(0, 80) || 'setting'
    let folder = plain
    for (let i = 2; taken.has(folder.toLowerCase()); i++) folder = `${plain}-${i}`
    taken.add(folder.toLowerCase())
    return folder
  })
}

interface Seeds {
  readonly dataSeed: number
  readonly initSeed: number
}

function seedsOf({ seeds, dataSeeds, initSeeds }: StudyOptions): { seeds: Seeds[]; crossed: boolean } {
  if (dataSeeds === undefined && initSeeds === undefined) {
    const both = seedList(seeds ?? DEFAULT_SEEDS, 'seeds')
    return { seeds: both.map((seed) => ({ dataSeed: seed, initSeed: seed })), crossed: false }
  }
  const [data, init] = [seedList(dataSeeds ?? 1, 'data-seeds'), seedList(initSeeds ?? 1, 'init-seeds')]
  return { seeds: data.flatMap((dataSeed) => init.map((initSeed) => ({ dataSeed, initSeed }))), crossed: true }
}

function seedList(asked: number | readonly number[], field: string): number[] {
  const list =
    typeof asked === 'number' ? Array.from({ length: Math.min(asked, MAX_RUNS) }, (_, i) => i + 1) : [...asked]
  if (list.length === 0) throw nothingIn(field, `${field}: a study needs at least one seed`, SEEDS)
  const twice = list.find((seed, i) => list.indexOf(seed) !== i)
  if (twice !== undefined)
    throw new LowrankError('usage', `${field}: ${twice} stands twice`, { field, suggestion: 'name each seed once' })
  return list
}

function runOf({ name, folder, options }: PlannedSetting, { dataSeed, initSeed }: Seeds, crossed: boolean): PlannedRun {
  const own = crossed ? `data-${dataSeed}-init-${initSeed}` : `seed-${dataSeed}`
  const seeds = crossed ? { dataSeed, initSeed } : { seed: dataSeed }
  // Runs are compared by the same rows, whatever their seeds.
  const split = options.evalSplit === undefined ? {} : { splitSeed: options.splitSeed ?? SPLIT_SEED }
  return {
    setting: name,
    dataSeed,
    initSeed,
    folder: `runs/${folder}/${own}`,
    options: { ...options, ...split, ...seeds },
  }
}

/** @param write what would do */
function nothingIn(field: string, message: string, write: string, file?: string): LowrankError {
  return new LowrankError('usage', message, { field, file, suggestion: write })
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join('+')
  return isRecord(value) ? JSON.stringify(value) : String(value)
}
