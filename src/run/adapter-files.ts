/** @file Adapters as files, for the verbs that need no base: a folder read into updates, and one written. Must not know verbs. */
import { renderModelCard } from '../formats/model-card.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { readPeftFolder, writePeftFolder } from '../formats/peft-folder.ts'
import { readUpdates, type Updates } from '../peft/algebra/updates.ts'
import { writeFolderAtomic } from '../support/atomic-write.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { adapterFolder } from './adapters.ts'
import type { BaseOptions } from './base-folder.ts'
import { refuseInputs } from './keep-inputs.ts'
import { refuseOccupied } from './occupied.ts'

/**
 * Reads the updates of an adapter: a folder, or a Hugging Face id.
 * @throws LowrankError `missing`, `format`, `unsupported`, naming folder and field
 */
export async function openUpdates(
  path: string,
  options: BaseOptions = {},
  more: { magnitudes?: boolean } = {},
): Promise<Updates> {
  const { config, tensors, warnings } = await readPeftFolder(await adapterFolder(path, options))
  for (const message of warnings) options.onEvent?.({ type: 'notice', message: `${path}: ${message}` })
  return readUpdates({ config, tensors }, path, more)
}

/** @throws LowrankError `usage` for an output that holds something, or one of the inputs. */
export async function checkOutput(output: string, overwrite: boolean, inputs: readonly string[]): Promise<void> {
  await refuseOccupied(output, overwrite)
  await refuseInputs(output, inputs, 'work')
}

export interface NewAdapter {
  readonly config: PeftLoraConfig
  readonly tensors: ReadonlyMap<string, HostTensor>
  /** Rows of its model card. */
  readonly facts: readonly (readonly [string, string])[]
}

/** Writes an adapter folder: there whole or not at all. @throws LowrankError `io` */
export async function writeAdapter(output: string, overwrite: boolean, adapter: NewAdapter): Promise<void> {
  const { config, tensors, facts } = adapter
  const write = (folder: string): Promise<void> =>
    writePeftFolder(folder, { config, tensors, card: renderModelCard({ config, facts }) })
  await writeFolderAtomic(output, write, { replace: overwrite })
}
