/**
 * @file `convert`: adapters of other formats as PEFT folders, and back, with the same update of every layer.
 * Must not know a terminal, or the maths of a format.
 */
import { basename } from 'node:path'
import { resolveOptions } from '../config/resolve.ts'
import type { ConvertOptions, ConvertSettings } from '../config/verbs/index.ts'
import { isLoralib } from '../formats/loralib.ts'
import { renderModelCard } from '../formats/model-card.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { readPeftFolder, writePeftFolder } from '../formats/peft-folder.ts'
import { readSafetensors } from '../formats/tensor-files.ts'
import { isTorchName, readTorchFile } from '../formats/torch-file.ts'
import { writeTorchFile } from '../formats/torch-write.ts'
import { loadAdapterTensors } from '../peft/adapter-tensors.ts'
import { layoutAdapter } from '../peft/layout.ts'
import { type ConvertedAdapter, loralibOfPeft, peftOfLoralib } from '../peft/loralib.ts'
import { writeFolderAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind } from '../support/files.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { refuseInputs } from './keep-inputs.ts'
import { refuseOccupied } from './occupied.ts'
import { openConfig } from './open-model.ts'
import type { ConvertResult } from './types.ts'

/**
 * Converts an adapter between PEFT's folder and another format.
 * @throws LowrankError `format` and `unsupported` naming file and tensor; `usage` for an output that holds something, and
 * for options that do not fit the file. Nothing is left half-written.
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  const settings = resolveOptions('convert', options)
  await refuseOccupied(settings.output, settings.overwrite)
  await refuseInputs(settings.output, [settings.path], 'conversion')
  return settings.to === undefined ? await fromLoralib(settings) : await toLoralib(settings)
}

async function fromLoralib(settings: ConvertSettings): Promise<ConvertResult> {
  const { path, output, overwrite, model } = settings
  const tensors = await readAnyTensors(path)
  if (!isLoralib(tensors.keys()))
    throw new LowrankError('format', `${path} is no loralib state: it has no tensor named <module>.lora_A`, {
      file: path,
      suggestion: 'look at it with lowrank inspect',
    })
  const alpha = settings.alpha ?? 1
  const enableLora = settings.enableLora?.map((word) => partSwitch(word))
  const converted = peftOfLoralib(tensors, { alpha, enableLora, base: model }, path)
  const notes = notesOf(converted)
  const config = model === undefined ? converted.config : await placedOn(converted, model, path)
  const facts = [['Converted from', `loralib state ${basename(path)}`]] as const
  const write = (folder: string): Promise<void> =>
    writePeftFolder(folder, { config, tensors: converted.tensors, card: renderModelCard({ config, facts }) })
  await writeFolderAtomic(output, write, { replace: overwrite })
  return {
    output,
    from: 'loralib',
    to: 'peft',
    modules: converted.state.layers.length,
    tensors: converted.tensors.size,
    rank: config.r,
    alpha: config.lora_alpha,
    notes,
  }
}

function partSwitch(word: string): boolean {
  if (/^(true|t|1)$/i.test(word)) return true
  if (/^(false|f|0)$/i.test(word)) return false
  throw new LowrankError('usage', `enable-lora expects true or false for each part, not ${word}`, {
    field: 'enable-lora',
  })
}

function notesOf({ state, assumed }: ConvertedAdapter): string[] {
  const fused = state.layers.filter(({ parts }) => parts > 1)
  const [first] = fused
  if (first === undefined) return []
  const { rank, parts, path } = first
  const what = `${fused.length} fused layers (${path}, …) become LoRA of rank ${rank * parts} with blocks of zeros`
  if (assumed === undefined) return [what]
  return [`${what}; the file does not say which parts were adapted, taken: ${assumed.join(',')} (--enable-lora)`]
}

/** A model that is a folder must have these modules; its own layout then says how PEFT spells the config. */
async function placedOn({ config, tensors }: ConvertedAdapter, model: string, path: string): Promise<PeftLoraConfig> {
  const file = `${model}/config.json`
  if ((await pathKind(file)) !== 'file') return config
  const { modules, modelType } = await openConfig(file)
  const layout = layoutAdapter(modules, config, { modelType, loaded: true })
  loadAdapterTensors(layout, modules, tensors, path)
  return { ...config, ...layout.savedConfig }
}

async function toLoralib({ path, output }: ConvertSettings): Promise<ConvertResult> {
  if (!isTorchName(output))
    throw new LowrankError('usage', `${output} is not named as a torch file: end it with .bin or .pt`, {
      file: output,
      field: 'output',
    })
  if ((await pathKind(output)) === 'folder')
    throw new LowrankError('usage', `${output} is a folder; name a file`, { file: output, field: 'output' })
  const { config, tensors, warnings } = await readPeftFolder(path)
  const state = loralibOfPeft(config, tensors, path)
  await writeTorchFile(output, state.tensors)
  const layouts = new Set(state.layers.map(({ r, alpha }) => `r=${r}, lora_alpha=${alpha}`))
  const note = `loralib does not save them: build each layer with ${[...layouts].join(' or ')}`
  return {
    output,
    from: 'peft',
    to: 'loralib',
    modules: state.layers.length,
    tensors: state.tensors.size,
    rank: config.r,
    alpha: config.lora_alpha,
    notes: [...warnings, note],
  }
}

/** Tensors of a torch or safetensors file, told apart by its name. */
async function readAnyTensors(file: string): Promise<Map<string, HostTensor>> {
  if ((await pathKind(file)) === 'folder')
    throw new LowrankError('usage', `${file} is a folder; name the state file in it`, { file, field: 'path' })
  const read = isTorchName(file) ? readTorchFile : readSafetensors
  return await read(file, { as: 'f32' })
}
