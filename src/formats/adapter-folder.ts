/**
 * @file The one place that tells what kind of adapter a folder holds: PEFT's, AdapterHub's, or trained parts alone.
 * Must not know what any of them means.
 */
import { join } from 'node:path'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readJson } from '../support/files.ts'
import { ADAPTER_CONFIG, isHubConfig } from './adapter-config.ts'
import { hubTensorFiles, type ParsedHubConfig, parseHubConfig } from './adapterhub.ts'
import { isPartsConfig, type PartsConfig, parsePartsConfig, partsTensorsFile } from './parts-folder.ts'
import { type ParsedLoraConfig, parsePeftLoraConfig } from './peft-config.ts'
import { adapterTensorsFile } from './peft-folder.ts'

export type AdapterConfig =
  | ({ readonly kind: 'peft' } & ParsedLoraConfig)
  | ({ readonly kind: 'adapterhub' } & ParsedHubConfig)
  | { readonly kind: 'parts'; readonly config: PartsConfig }

/** What a folder's adapter_config.json says. @throws {LowrankError} `missing`, `config`, `unsupported`, naming file and field */
export async function readAdapterConfig(folder: string): Promise<AdapterConfig> {
  const file = join(folder, ADAPTER_CONFIG)
  if ((await pathKind(folder)) !== 'folder')
    throw new LowrankError('missing', `there is no adapter folder ${folder}`, { file: folder })
  if ((await pathKind(file)) !== 'file')
    throw new LowrankError('missing', `${folder} is no adapter: it has no ${ADAPTER_CONFIG}`, { file: folder })
  const json = await readJson(file)
  if (isHubConfig(json)) return { kind: 'adapterhub', ...parseHubConfig(json, file) }
  if (isPartsConfig(json)) return { kind: 'parts', config: parsePartsConfig(json, file) }
  return { kind: 'peft', ...parsePeftLoraConfig(json, file) }
}

/** The files of an adapter's tensors. @throws {LowrankError} `missing` */
export async function adapterTensorFiles(kind: AdapterConfig['kind'], folder: string): Promise<string[]> {
  if (kind === 'peft') return [await adapterTensorsFile(folder)]
  return kind === 'parts' ? [await partsTensorsFile(folder)] : await hubTensorFiles(folder)
}

/** The base that an adapter says it was made for, and its revision. */
export function baseOfAdapter(adapter: AdapterConfig): { name: string | null; revision?: string | null } {
  if (adapter.kind === 'adapterhub') return { name: adapter.config.model_name }
  if (adapter.kind === 'parts') return { name: adapter.config.base_model_name_or_path }
  return { name: adapter.config.base_model_name_or_path, revision: adapter.config.revision }
}
