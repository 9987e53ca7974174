/**
 * @file Reads and writes an adapter folder as PEFT has it: adapter_config.json, adapter_model.safetensors, README.md; of
 * older folders also adapter_model.bin.
 * The I/O side of peft-config.ts; must not know models or what the tensors mean.
 */
import { join } from 'node:path'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readJson } from '../support/files.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { ADAPTER_CONFIG } from './adapter-config.ts'
import { type ParsedLoraConfig, parsePeftLoraConfig, serializePeftLoraConfig } from './peft-config.ts'
import type { PeftLoraConfig } from './peft-fields.ts'
import { readSafetensors, writeSafetensors } from './tensor-files.ts'
import { readTorchFile } from './torch-file.ts'

export const ADAPTER_TENSORS = 'adapter_model.safetensors'
/** What PEFT wrote before 0.6, and writes still with safe_serialization=False. */
export const ADAPTER_TORCH = 'adapter_model.bin'

export interface PeftFolder extends ParsedLoraConfig {
  /** By their keys on disk (`base_model.model.….lora_A.weight`); half floats widened to f32, as PEFT loads them. */
  tensors: Map<string, HostTensor>
}

/** Reads an adapter folder. @throws {LowrankError} `missing`, `format`, `config`, `unsupported`, naming the file. */
export async function readPeftFolder(folder: string): Promise<PeftFolder> {
  const parsed = await readPeftConfig(folder)
  const file = await adapterTensorsFile(folder)
  const read = file.endsWith(ADAPTER_TORCH) ? readTorchFile : readSafetensors
  return { ...parsed, tensors: await read(file, { as: 'f32' }) }
}

/** The file of an adapter's tensors: safetensors where there are both, as PEFT takes them. @throws {LowrankError} `missing`. */
export async function adapterTensorsFile(folder: string): Promise<string> {
  for (const name of [ADAPTER_TENSORS, ADAPTER_TORCH])
    if ((await pathKind(join(folder, name))) === 'file') return join(folder, name)
  throw new LowrankError('missing', `${folder} has no ${ADAPTER_TENSORS} and no ${ADAPTER_TORCH}`, { file: folder })
}

/** Reads an adapter's configuration only. @throws {LowrankError} as `readPeftFolder`. */
export async function readPeftConfig(folder: string): Promise<ParsedLoraConfig> {
  const file = join(folder, ADAPTER_CONFIG)
  if ((await pathKind(folder)) !== 'folder')
    throw new LowrankError('missing', `there is no adapter folder ${folder}`, { file: folder })
  if ((await pathKind(file)) !== 'file')
    throw new LowrankError('missing', `${folder} is no adapter: it has no ${ADAPTER_CONFIG}`, { file: folder })
  return parsePeftLoraConfig(await readJson(file), file)
}

/**
 * Writes an adapter into an existing folder, each file atomically, the configuration last: a folder with a
 * configuration has its tensors. @throws {LowrankError} `io`.
 */
export async function writePeftFolder(
  folder: string,
  adapter: { config: PeftLoraConfig; tensors: ReadonlyMap<string, HostTensor>; card?: string },
): Promise<void> {
  await writeSafetensors(join(folder, ADAPTER_TENSORS), adapter.tensors)
  if (adapter.card !== undefined) await writeFileAtomic(join(folder, 'README.md'), adapter.card)
  await writeFileAtomic(join(folder, ADAPTER_CONFIG), serializePeftLoraConfig(adapter.config))
}
