/**
 * @file Leaves an adapter's bottlenecks out of layers as it is used (AdapterDrop, arXiv 2010.11918, section 3.1). Its
 * LayerNorms stay as they were trained, as in AdapterHub's `skip_layers`. Must not know files or engines.
 */
import { LowrankError } from '../support/errors.ts'
import type { LoadedAdapter } from './loaded-adapter.ts'

const FIELD = 'adapter-drop'

/**
 * @param layers from 0; `count` is how many the model has; `path` is where the adapter lies
 * @throws LowrankError `usage` for an adapter without bottlenecks, layers there are not, and where none would be left
 */
export function withoutLayers(
  adapter: LoadedAdapter,
  layers: readonly number[],
  { count, path }: { count: number; path: string },
): LoadedAdapter {
  if (layers.length === 0) return adapter
  const fail = (message: string): LowrankError => new LowrankError('usage', `${FIELD}: ${message}`, { field: FIELD })
  const { layout } = adapter
  if (!layout.bottlenecks) throw fail(`${path} has no bottleneck adapters that could be left out`)
  const unknown = layers.find((layer) => layer >= count)
  if (unknown !== undefined) throw fail(`there is no layer ${unknown}; the model has 0 to ${count - 1}`)
  const { config, sites } = layout.bottlenecks
  const kept = sites.filter(({ layer }) => !layers.includes(layer))
  if (kept.length === 0) throw fail(`leaves ${path} no layer with an adapter`)
  const gone = new Set(sites.filter((site) => !kept.includes(site)).flatMap(({ ids }) => Object.values(ids)))
  const values = new Map([...adapter.values].filter(([id]) => !gone.has(id)))
  const leaveOut = [...new Set([...config.leaveOut, ...layers])].sort((a, b) => a - b)
  const bottlenecks = { config: { ...config, leaveOut }, sites: kept }
  const tensors = layout.tensors.filter(({ id }) => !gone.has(id))
  return { ...adapter, values, layout: { ...layout, tensors, bottlenecks } }
}
