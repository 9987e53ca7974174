/** @file Which base a verb means: the one named, else the one its first adapter was trained on. Must not open either. */
import { type AdapterInput, adapterSpecs } from '../config/options/model.ts'
import { ADAPTER_CONFIG, readPeftConfig } from '../formats/peft-folder.ts'
import { invariant, LowrankError } from '../support/errors.ts'

export interface BaseChoice {
  readonly model?: string | undefined
  readonly adapter?: readonly AdapterInput[] | undefined
}

/** `model`, or `base_model_name_or_path` of the first adapter. @throws LowrankError `usage` where it names none. */
export async function baseModelName({ model, adapter = [] }: BaseChoice): Promise<string> {
  if (model !== undefined) return model
  const [first] = adapterSpecs(adapter)
  invariant(first !== undefined, 'a verb without model and adapter passed its rules')
  const { config } = await readPeftConfig(first.path)
  if (config.base_model_name_or_path) return config.base_model_name_or_path
  const message = `the adapter ${first.path} does not name its base: give --model`
  throw new LowrankError('usage', message, {
    file: `${first.path}/${ADAPTER_CONFIG}`,
    field: 'base_model_name_or_path',
  })
}
