/**
 * @file A PEFT LoraConfig from options: lowrank's defaults, under `--lora-config`, under flags. And the other way where a
 * run starts from an adapter: its config holds, and a flag that contradicts it is refused.
 */
import { kebab } from '../../config/option.ts'
import { checkLoraConfig, loraConfig, parsePeftLoraConfig } from '../../formats/peft-config.ts'
import { LORA_FIELDS, type PeftLoraConfig } from '../../formats/peft-fields.ts'
import { peftTaskType } from '../../formats/task.ts'
import { allPaths } from '../../models/modules.ts'
import { CLASSIFIER_HEADS } from '../../peft/beside.ts'
import { LowrankError } from '../../support/errors.ts'
import { readJson } from '../../support/files.ts'
import { nearest } from '../../support/nearest.ts'
import type { OpenModel } from '../open-model.ts'
import type { TrainSettings } from './settings.ts'

/** Flags and the fields they set. */
const FIELDS = {
  rank: 'r',
  alpha: 'lora_alpha',
  dropout: 'lora_dropout',
  targets: 'target_modules',
  exclude: 'exclude_modules',
  layers: 'layers_to_transform',
  bias: 'bias',
  modulesToSave: 'modules_to_save',
  rslora: 'use_rslora',
  dora: 'use_dora',
  init: 'init_lora_weights',
} as const satisfies Partial<Record<keyof TrainSettings, keyof PeftLoraConfig>>

type Flag = keyof typeof FIELDS
const flags = Object.keys(FIELDS) as Flag[]

/** The fields that options say, under PEFT's names. */
function fieldsOf(s: TrainSettings): Pick<PeftLoraConfig, (typeof FIELDS)[Flag]> {
  return {
    r: s.rank,
    lora_alpha: s.alpha,
    lora_dropout: s.dropout,
    target_modules: expression(s.targets),
    exclude_modules: s.exclude === undefined ? null : expression(s.exclude),
    layers_to_transform: s.layers ?? null,
    bias: s.bias,
    modules_to_save: s.modulesToSave ?? null,
    use_rslora: s.rslora,
    use_dora: s.dora,
    init_lora_weights: s.init,
  }
}

/** The options that say what a config says: what run.yaml holds, wherever the config came from. */
export function settingsOfConfig(settings: TrainSettings, config: PeftLoraConfig): TrainSettings {
  const layers = config.layers_to_transform
  return {
    ...settings,
    rank: config.r,
    alpha: config.lora_alpha,
    dropout: config.lora_dropout,
    targets: slashed(config.target_modules) ?? settings.targets,
    exclude: slashed(config.exclude_modules),
    layers: layers === null ? undefined : typeof layers === 'number' ? [layers] : [...layers],
    bias: config.bias,
    modulesToSave: config.modules_to_save === null ? undefined : [...config.modules_to_save],
    rslora: config.use_rslora,
    dora: config.use_dora,
    init: config.init_lora_weights,
  }
}

function slashed(value: PeftLoraConfig['target_modules']): string | string[] | undefined {
  if (value === null) return undefined
  if (typeof value !== 'string') return [...value]
  return value.toLowerCase() === 'all-linear' ? 'all-linear' : `/${value}/`
}

/** `/…/` is a regular expression; a list is a list. */
function expression(value: string | string[]): string | string[] {
  return typeof value === 'string' && value.startsWith('/') && value.endsWith('/') ? value.slice(1, -1) : value
}

/** The config of a new adapter. @throws LowrankError naming the field. */
export async function newLoraConfig(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  base: Pick<OpenModel, 'model' | 'fresh'>,
): Promise<PeftLoraConfig> {
  const options = fieldsOf(settings)
  const file = settings.loraConfig
  const fromFile = file === undefined ? {} : await fieldsOfFile(file)
  const flagged = Object.fromEntries(flags.filter((f) => given.has(f)).map((f) => [FIELDS[f], options[FIELDS[f]]]))
  // A file that names parameters and no modules means no modules, not all of them.
  const noModules = fromFile.target_parameters && !fromFile.target_modules ? { target_modules: [] } : {}
  const config = loraConfig({
    ...options,
    ...noModules,
    ...fromFile,
    ...flagged,
    task_type: peftTaskType(base.model.spec.task),
    base_model_name_or_path: settings.model ?? null,
  })
  checkLoraConfig(config, file ?? 'the options')
  const saved = savedBeside(config.modules_to_save ?? [], base)
  return saved.length === 0 ? config : { ...config, modules_to_save: saved }
}

/** What PEFT saves of a classifier besides, and whatever the base's files lack: nobody else has its weights. */
function savedBeside(asked: readonly string[], { model, fresh }: Pick<OpenModel, 'model' | 'fresh'>): string[] {
  const type = peftTaskType(model.spec.task)
  const names = [...asked, ...(type === 'SEQ_CLS' || type === 'TOKEN_CLS' ? CLASSIFIER_HEADS : [])]
  const isSaved = (path: string): boolean =>
    allPaths([{ path, kind: 'other', parameters: [] }]).some((part) => names.some((name) => part.endsWith(name)))
  return [...new Set([...names, ...fresh.map(({ path }) => path).filter((path) => !isSaved(path))])]
}

/** A person wrote this file: a word that PEFT does not know is a mistake, where an adapter's own config may be newer. */
async function fieldsOfFile(file: string): Promise<Partial<PeftLoraConfig>> {
  const { given, ignored } = parsePeftLoraConfig(await readJson(file), file, { partial: true })
  const [field] = ignored
  if (field === undefined) return given
  throw new LowrankError('config', `${file}: ${field} is no field of PEFT's LoraConfig`, {
    ...{ file, field, suggestion: nearest(field, Object.keys(LORA_FIELDS))[0] },
  })
}

/** Refuses flags that say otherwise than the adapter a run starts from. */
export function refuseContradiction(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  config: PeftLoraConfig,
  folder: string,
): void {
  const options = fieldsOf(settings)
  for (const flag of flags) {
    const field = FIELDS[flag]
    const [asked, has] = [JSON.stringify(options[field]), JSON.stringify(config[field])]
    if (!given.has(flag) || asked === has) continue
    throw new LowrankError(
      'usage',
      `--${kebab(flag)} asks for ${asked}, but the adapter in ${folder} has ${field} ${has}`,
      {
        file: folder,
        field: kebab(flag),
        suggestion: 'leave the flag out: the adapter brings its own settings',
      },
    )
  }
}
