/** @file What a report says, as plain data, and how it is read from a run folder. Must not know HTML. */
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { parse } from 'yaml'
import { kebab, type OptionTable } from '../../config/option.ts'
import { verbs } from '../../config/verbs/index.ts'
import type { DataReport } from '../../data/data-report.ts'
import { ADAPTER_TENSORS } from '../../formats/peft-folder.ts'
import { readSafetensorsHeader } from '../../formats/tensor-files.ts'
import { pathKind } from '../../support/files.ts'
import { isRecord } from '../../support/json.ts'
import type { ToldRows } from './told-section.ts'
import { readTrainerLog, type TrainerLog } from './trainer-log.ts'

/** One prompt and what the tuned model made of it. */
export interface Sample {
  prompt: string
  /** Text of the tuned model. */
  text: string
  /** Text of the base without the adapter, where it was asked. */
  before?: string
  /** What the data wanted, where they say. */
  expected?: string
}

/** Trained tensors of one kind: all `q_proj`, say. */
export interface TrainedKind {
  kind: string
  /** Modules of this kind. */
  modules: number
  parameters: number
  /** As stored in the run folder. */
  bytes: number
}

export interface Setting {
  group: string
  name: string
  value: string
}

export interface ReportData {
  /** Name of the run folder. */
  title: string
  model: string
  method: string
  log: TrainerLog
  settings: Setting[]
  trained: TrainedKind[]
  samples: Sample[]
  /** What the rows are, where the run says. */
  data?: DataReport
  /** What was told of rows that were not trained on. */
  told?: readonly ToldRows[]
  /** Parameters of the whole model, frozen ones included. */
  parameters?: number
  /** Numbers of state that the optimizer keeps for each parameter: 2 for AdamW, 0 for SGD. */
  moments: number
}

/** What the run knows and the folder does not say. */
export type ReportExtras = Partial<Pick<ReportData, 'parameters' | 'samples' | 'trained' | 'data' | 'told'>>

/** Reads a run folder: trainer_log.jsonl, run.yaml, and the header of the trained tensors. */
export async function readReportData(folder: string, extras: ReportExtras = {}): Promise<ReportData> {
  const options = await readOptions(join(folder, 'run.yaml'))
  const text = (name: string): string | undefined => (options[name] === undefined ? undefined : shown(options[name]))
  const data: ReportData = {
    title: basename(resolve(folder)),
    model: text('model') ?? text('from-config') ?? 'unknown model',
    method: text('method') ?? 'lora',
    log: await readTrainerLog(join(folder, 'trainer_log.jsonl')),
    settings: settingsOf(options),
    trained: extras.trained ?? (await readTrained(folder)),
    samples: extras.samples ?? [],
    moments: options.optimizer === 'sgd' ? 0 : 2,
  }
  const { parameters, data: rows, told } = extras
  return {
    ...data,
    ...(parameters === undefined ? {} : { parameters }),
    ...(rows === undefined ? {} : { data: rows }),
    ...(told === undefined ? {} : { told }),
  }
}

async function readOptions(file: string): Promise<Record<string, unknown>> {
  if ((await pathKind(file)) !== 'file') return {}
  const options: unknown = parse(await readFile(file, 'utf8'))
  return isRecord(options) ? options : {}
}

function settingsOf(options: Readonly<Record<string, unknown>>): Setting[] {
  const table: OptionTable = verbs.train.options
  const groups = new Map(Object.entries(table).map(([name, option]) => [kebab(name), option.group]))
  return Object.entries(options).map(([name, value]) => ({
    group: groups.get(name) ?? 'Other',
    name,
    value: shown(value),
  }))
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join(', ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Trained tensors by kind of module, from the adapter's header, or the model's where all was trained. */
async function readTrained(folder: string): Promise<TrainedKind[]> {
  for (const name of [ADAPTER_TENSORS, 'model.safetensors']) {
    const file = join(folder, name)
    if ((await pathKind(file)) === 'file') return trainedKinds((await readSafetensorsHeader(file)).entries.values())
  }
  return []
}

/** Groups tensors by the last name of their module: `model.layers.0.self_attn.q_proj.lora_A.weight` → `q_proj`. */
export function trainedKinds(
  tensors: Iterable<{ name: string; shape: readonly number[]; bytes: number }>,
): TrainedKind[] {
  const kinds = new Map<string, TrainedKind & { paths: Set<string> }>()
  for (const { name, shape, bytes } of tensors) {
    const path = name
      .replace(/^base_model\.model\./, '')
      .replace(/\.(lora_(A|B|embedding_A|embedding_B|magnitude_vector)|token_adapter|modules_to_save)\b.*$/, '')
      .replace(/\.(weight|bias)$/, '')
    const kind = path.split('.').findLast((part) => !/^\d+$/.test(part)) ?? path
    const entry = kinds.get(kind) ?? { kind, modules: 0, parameters: 0, bytes: 0, paths: new Set<string>() }
    entry.paths.add(path)
    entry.modules = entry.paths.size
    entry.parameters += shape.reduce((product, n) => product * n, 1)
    entry.bytes += bytes
    kinds.set(kind, entry)
  }
  const list = Array.from(kinds.values(), ({ paths: _, ...kind }) => kind)
  return list.sort((a, b) => b.parameters - a.parameters || (a.kind < b.kind ? -1 : 1))
}
