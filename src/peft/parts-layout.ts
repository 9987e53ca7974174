/**
 * @file Methods that train parts of an encoder as they are, beside bottlenecks or by themselves: the LayerNorms, the
 * biases (BitFit, arXiv 2106.10199), and what stands above the last layer. Must not know tensor values, graphs or files.
 */
import type { ModuleInfo, Sublayer } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import type { AdapterLayout, AdapterTensor } from './adapter-layout.ts'
import {
  BOTTLENECK_METHODS,
  type BottleneckConfig,
  type BottleneckMethod,
  type BottleneckSite,
  bottleneckShapes,
  placeBottlenecks,
} from './bottleneck.ts'

export const PARTS_METHODS = [...BOTTLENECK_METHODS, 'bitfit', 'ln-tuning', 'head'] as const
export type PartsMethod = (typeof PARTS_METHODS)[number]

export function isBottleneck(method: PartsMethod): method is BottleneckMethod {
  return BOTTLENECK_METHODS.some((one) => one === method)
}

export type PartsLayout = Pick<AdapterLayout, 'sites' | 'tensors' | 'tokens' | 'bottlenecks'>

/**
 * What a method trains on a model: bottlenecks with all LayerNorms, every bias, every LayerNorm, or nothing of the body;
 * and everything above the last layer.
 * @param bottleneck settings of `houlsby`, `pfeiffer` and `parallel`
 * @throws LowrankError `unsupported` for a model without anything to train; `config` as `placeBottlenecks`
 */
export function layoutParts(
  { modules, sublayers }: { readonly modules: readonly ModuleInfo[]; readonly sublayers: readonly Sublayer[] },
  method: PartsMethod,
  bottleneck?: BottleneckConfig,
): PartsLayout {
  const bottlenecks = bottleneck && placeBottlenecks(sublayers, bottleneck)
  const norms = isBottleneck(method) || method === 'ln-tuning'
  const trains = ({ isAbove, kind }: ModuleInfo, parameter: string): boolean =>
    isAbove === true || (norms && kind === 'norm') || (method === 'bitfit' && parameter === 'bias')
  const tensors = modules.flatMap((module) =>
    module.parameters
      .filter(({ name }) => trains(module, name) && !(module.tiedTo !== undefined && name === 'weight'))
      .map((parameter) => ownTensor(module, parameter)),
  )
  const made = bottlenecks?.sites.flatMap(siteTensors) ?? []
  if (tensors.length + made.length === 0)
    throw new LowrankError('unsupported', `method ${method} finds nothing to train in this model`, { field: 'method' })
  return { sites: [], tokens: [], tensors: [...made, ...tensors], bottlenecks }
}

function ownTensor({ path }: ModuleInfo, { name, shape }: ModuleInfo['parameters'][number]): AdapterTensor {
  const id = `${path}.${name}`
  return { id, role: 'saved', shape, module: path, parameter: name, source: id, trained: true }
}

function siteTensors(site: BottleneckSite): AdapterTensor[] {
  const shapes = bottleneckShapes(site)
  return (['down', 'downBias', 'up', 'upBias'] as const).map((part) => ({
    id: site.ids[part],
    role: 'own',
    shape: shapes[part],
    module: site.path,
    trained: true,
  }))
}
