/**
 * @file Reads and writes what a method trained that adds nothing to a model (bitfit, ln-tuning, head): an
 * adapter_config.json that names the method, and trained.safetensors under Hugging Face's names.
 * Must not know models or graphs.
 */
import { join } from 'node:path'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readJson } from '../support/files.ts'
import { isRecord } from '../support/json.ts'
import { nearest } from '../support/nearest.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { ADAPTER_CONFIG } from './adapter-config.ts'
import { TRAINED_TENSORS } from './adapterhub.ts'
import { readSafetensors, writeSafetensors } from './tensor-files.ts'

export const WHOLE_METHODS = ['bitfit', 'ln-tuning', 'head'] as const
export type WholeMethod = (typeof WHOLE_METHODS)[number]

export interface PartsConfig {
  readonly method: WholeMethod
  readonly base_model_name_or_path: string | null
  readonly model_type: string
}

/** Whether the JSON of an adapter_config.json names one of these methods, or means to. */
export function isPartsConfig(json: unknown): boolean {
  return isRecord(json) && json.peft_type === undefined && typeof json.method === 'string'
}

/** @throws {LowrankError} `config` naming file and field */
export function parsePartsConfig(json: unknown, file: string): PartsConfig {
  const { method, model_type, base_model_name_or_path: base = null } = isRecord(json) ? json : {}
  const known = WHOLE_METHODS.find((name) => name === method)
  if (!known)
    throw new LowrankError(
      'config',
      `${file}: method is ${JSON.stringify(method)}, none of ${WHOLE_METHODS.join(', ')}`,
      {
        ...{ file, field: 'method', suggestion: nearest(String(method), WHOLE_METHODS)[0] },
      },
    )
  if (typeof model_type !== 'string')
    throw new LowrankError('config', `${file}: model_type must be a text`, { file, field: 'model_type' })
  if (base !== null && typeof base !== 'string')
    throw new LowrankError('config', `${file}: base_model_name_or_path must be a text or null`, {
      ...{ file, field: 'base_model_name_or_path' },
    })
  return { method: known, base_model_name_or_path: base, model_type }
}

export interface PartsFolder {
  readonly config: PartsConfig
  /** By Hugging Face names. */
  readonly trained: ReadonlyMap<string, HostTensor>
}

/** @throws {LowrankError} `missing`, `format`, `config`, naming the file */
export async function readPartsFolder(folder: string): Promise<PartsFolder> {
  const file = join(folder, ADAPTER_CONFIG)
  const config = parsePartsConfig(await readJson(file), file)
  return { config, trained: await readSafetensors(await partsTensorsFile(folder), { as: 'f32' }) }
}

/** @throws {LowrankError} `missing` */
export async function partsTensorsFile(folder: string): Promise<string> {
  const file = join(folder, TRAINED_TENSORS)
  if ((await pathKind(file)) === 'file') return file
  throw new LowrankError('missing', `${folder} has no ${TRAINED_TENSORS}`, { file: folder })
}

/** Writes into an existing folder, the configuration last. @throws {LowrankError} `io` */
export async function writePartsFolder(folder: string, { config, trained }: PartsFolder): Promise<void> {
  await writeSafetensors(join(folder, TRAINED_TENSORS), trained)
  await writeFileAtomic(join(folder, ADAPTER_CONFIG), `${JSON.stringify(config, null, 2)}\n`)
}
