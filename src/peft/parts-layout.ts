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
  type Bottlenecks,
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
 * and everything above the last layer. Where the lowest layers are left without bottlenecks (AdapterDrop, arXiv
 * 2010.11918), nothing at all is trained in them, so that no gradient need go there.
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
  const frozen = new Set(bottlenecks ? belowBottlenecks(modules, bottlenecks) : [])
  const trains = (module: ModuleInfo, parameter: string): boolean =>
    module.isAbove === true ||
    (norms && module.kind === 'norm' && !frozen.has(module)) ||
    (method === 'bitfit' && parameter === 'bias')
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

/** Modules before the lowest layer with a bottleneck, where some are left out below it. */
function belowBottlenecks(modules: readonly ModuleInfo[], { sites, config }: Bottlenecks): readonly ModuleInfo[] {
  const lowest = Math.min(...sites.map(({ layer }) => layer))
  if (config.leaveOut.every((layer) => layer > lowest)) return []
  const layerOf = (path: string): number => Number(/\.(\d+)(?:\.|$)/.exec(path)?.[1] ?? -1)
  return modules.slice(
    0,
    modules.findIndex(({ path }) => layerOf(path) === lowest),
  )
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
