/**
 * @file The settings a run really has: what was given, over what the folder of a resumed run says, over defaults.
 * Must not know models or data.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { kebab } from '../../config/option.ts'
import { resolveOptions } from '../../config/resolve.ts'
import { formatRunFile, readRunFile } from '../../config/run-file.ts'
import { type InputOf, type OutputOf, verbs } from '../../config/verbs/index.ts'
import { silentWith } from '../../config/verbs/train.ts'
import { LowrankError } from '../../support/errors.ts'
import { pathKind } from '../../support/files.ts'
import { baseNamedBy } from '../open-for-use.ts'

export type TrainOptions = InputOf<'train'>
export type TrainSettings = OutputOf<'train'>

export const RUN_FILE = 'run.yaml'

/** Options that a resumed run may change: lengths, logging, saving, engine and threads. */
const MAY_DIFFER: ReadonlySet<string> = new Set([
  ...['output', 'resume', 'overwrite', 'steps', 'epochs', 'logEvery', 'evalEvery', 'saveEvery', 'keep', 'keepBest'],
  'testData',
  ...['engine', 'threads', 'samples', 'printGraph', 'dryRun'],
])

export interface Effective {
  readonly settings: TrainSettings
  /** Options somebody gave, now or when the run began. */
  readonly given: ReadonlySet<string>
  /** The folder holds a run that is to be continued. */
  readonly continues: boolean
  /** Whether this call names a length: a finished run then may go on. */
  readonly namesLength: boolean
}

/** @throws LowrankError `usage` naming an option that contradicts the run being resumed. */
export async function effectiveSettings(options: TrainOptions): Promise<Effective> {
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as TrainOptions
  const given = await withBaseOfAdapter(said)
  const namesLength = given.steps !== undefined || given.epochs !== undefined
  const saved = given.resume && given.output !== undefined ? await savedOptions(given.output) : undefined
  if (!saved) {
    const settings = resolveOptions('train', given)
    requireSources(settings)
    return { settings, given: new Set(Object.keys(given)), continues: false, namesLength }
  }
  const before = resolveOptions('train', saved)
  const merged: Record<string, unknown> = { ...saved, ...given }
  if (given.epochs !== undefined && given.steps === undefined) delete merged.steps
  const settings = resolveOptions('train', merged as TrainOptions)
  refuseContradictions(given, before, settings, join(given.output ?? '', RUN_FILE))
  // run.yaml says every setting; one that says nothing with the run's method was given by nobody.
  const silent = silentWith(before.method)
  const meant = Object.keys(saved).filter((name) => !silent.includes(name))
  return { settings, given: new Set([...meant, ...Object.keys(given)]), continues: true, namesLength }
}

/** Where no model is named, an adapter to start from names it. */
async function withBaseOfAdapter(given: TrainOptions): Promise<TrainOptions> {
  const { adapter, model, fromConfig, resume } = given
  if (typeof adapter !== 'string' || model !== undefined || fromConfig !== undefined || resume) return given
  const { name, revision } = await baseNamedBy(adapter, { offline: given.offline })
  return { ...(revision === undefined ? {} : { revision }), ...given, model: name }
}

/** Without a run to take them from, a model and rows must be named. */
function requireSources(settings: TrainSettings): void {
  for (const [name, value] of [
    ['model', settings.model ?? settings.fromConfig],
    ['data', settings.data],
  ] as const) {
    if (value === undefined) {
      throw new LowrankError('usage', `${settings.output}: there is no run to resume yet, so train needs ${name}`, {
        field: name,
      })
    }
  }
}

async function savedOptions(output: string): Promise<TrainOptions | undefined> {
  const file = join(output, RUN_FILE)
  if ((await pathKind(file)) !== 'file') return undefined
  const settings = await readRunFile(verbs.train, file)
  return Object.fromEntries(Object.entries(settings).map(([name, { value }]) => [name, value])) as TrainOptions
}

function refuseContradictions(given: TrainOptions, before: TrainSettings, now: TrainSettings, file: string): void {
  const [was, is] = [before as Record<string, unknown>, now as Record<string, unknown>]
  for (const name of Object.keys(given)) {
    if (MAY_DIFFER.has(name) || JSON.stringify(was[name]) === JSON.stringify(is[name])) continue
    const [old, fresh] = [JSON.stringify(was[name]) ?? 'nothing', JSON.stringify(is[name])]
    throw new LowrankError(
      'usage',
      `${kebab(name)} is ${fresh}, but the run in ${file} has ${old}: a resumed run keeps it`,
      {
        file,
        field: kebab(name),
        suggestion: 'leave the option out, or train into another folder',
      },
    )
  }
}

/** The text of run.yaml. */
export function runFileText(settings: TrainSettings): string {
  const { resume: _, overwrite: __, dryRun: ___, ...kept } = settings
  return formatRunFile(
    verbs.train,
    kept,
    'The effective settings of this run; `lowrank train --config run.yaml` repeats it.',
  )
}

/** Hash of what must be equal for a run to go on from a checkpoint: settings, and the rows by `dataHash`. */
export function fingerprint(settings: TrainSettings, dataHash: string): string {
  const fixed = Object.entries(settings).filter(([name]) => !MAY_DIFFER.has(name))
  return createHash('sha256')
    .update(JSON.stringify([fixed.sort(([a], [b]) => (a < b ? -1 : 1)), dataHash]))
    .digest('hex')
}
