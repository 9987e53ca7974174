/** @file Full fine-tuning as a layout like an adapter's: no sites, and every tensor of the base trained. */
import type { ModuleInfo } from '../models/modules.ts'
import type { AdapterLayout, AdapterTensor } from '../peft/layout.ts'

/** Every tensor under its Hugging Face name; a tied head has none of its own. */
export function layoutFull(modules: readonly ModuleInfo[]): Pick<AdapterLayout, 'sites' | 'tensors' | 'tokens'> {
  const tensors = modules.flatMap(({ path, parameters, tiedTo }) =>
    parameters
      .filter(({ name }) => !(tiedTo !== undefined && name === 'weight'))
      .map(({ name, shape }): AdapterTensor => {
        const id = `${path}.${name}`
        return { id, role: 'saved', shape, module: path, parameter: name, source: id, trained: true }
      }),
  )
  return { sites: [], tensors, tokens: [] }
}
