/**
 * @file Adapters that PEFT made on a model without its head (`AutoModel`, task FEATURE_EXTRACTION): their names lack the
 * prefix under which a model with a head holds its body (`encoder.layer.0` for `bert.encoder.layer.0`). They are laid out
 * under their own names, so that targets mean what they meant, and then moved. Must not know files or graphs.
 */
import type { ModuleInfo } from '../models/modules.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { type LoadedTensors, loadAdapterTensors } from './adapter-tensors.ts'
import { idOfKey } from './keys.ts'
import { type AdapterLayout, layoutAdapter } from './layout.ts'
import type { LayoutOptions } from './method.ts'

/** What of a model an adapter is laid out on. */
export interface Body {
  readonly modules: readonly ModuleInfo[]
  readonly prefix: string
  readonly modelType: string
}

/** Whether the keys of a file name modules of the body, and none of them with the prefix. */
export function lacksPrefix({ modules, prefix }: Body, keys: Iterable<string>): boolean {
  if (prefix === '') return false
  const own = modules.flatMap(({ path }) => (path.startsWith(`${prefix}.`) ? [path.slice(prefix.length + 1)] : []))
  const tops = new Set(own.map((path) => path.split('.')[0]))
  const ids = Array.from(keys, (key) => idOfKey(key) ?? '')
  return ids.some((id) => tops.has(id.split('.')[0])) && !ids.some((id) => id.startsWith(`${prefix}.`))
}

export interface BareAdapter {
  readonly layout: AdapterLayout
  readonly loaded: LoadedTensors
}

/** The last hidden state is what is before the pooler, so a model of it has none; `AutoModel` has. */
const POOLER = /^pooler\./

/** @throws LowrankError `config`, `format` as `layoutAdapter` and `loadAdapterTensors` */
export function loadBareAdapter(
  { modules, prefix, modelType }: Body,
  config: LayoutOptions,
  tensors: ReadonlyMap<string, HostTensor>,
  file: string,
): BareAdapter {
  const bare = (path: string): string => (path.startsWith(`${prefix}.`) ? path.slice(prefix.length + 1) : path)
  const renamed = modules.map(
    ({ tiedTo, ...module }): ModuleInfo => ({
      ...{ ...module, path: bare(module.path) },
      ...(tiedTo === undefined ? {} : { tiedTo: bare(tiedTo) }),
    }),
  )
  const hasPooler = renamed.some(({ path }) => POOLER.test(path))
  const kept = hasPooler ? tensors : new Map([...tensors].filter(([key]) => !POOLER.test(idOfKey(key) ?? '')))
  const layout = layoutAdapter(renamed, config, { modelType, loaded: true })
  const { trained, base } = loadAdapterTensors(layout, renamed, kept, file)
  const full = new Map(modules.map(({ path }) => [bare(path), path]))
  const move = (name: string): string => moved(name, full, prefix)
  const rename = <T>(values: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...values].map(([name, value]) => [move(name), value]))
  const passed = kept.size < tensors.size ? ['its pooler is left out: the last hidden state comes before it'] : []
  return {
    layout: movedLayout({ ...layout, notes: [...layout.notes, ...passed] }, move),
    loaded: { trained: rename(trained), base: rename(base) },
  }
}

/** What stood outside the prefix (a language model's head) stays there. */
function moved(name: string, full: ReadonlyMap<string, string>, prefix: string): string {
  for (let end = name.length; end > 0; end = name.lastIndexOf('.', end - 1)) {
    const path = full.get(name.slice(0, end))
    if (path !== undefined) return path + name.slice(end)
  }
  return `${prefix}.${name}`
}

function movedLayout(layout: AdapterLayout, move: (name: string) => string): AdapterLayout {
  return {
    ...layout,
    sites: layout.sites.map((site) => ({
      ...{ ...site, path: move(site.path) },
      ids: Object.fromEntries(Object.entries(site.ids).map(([short, id]) => [short, move(id)])),
    })),
    tensors: layout.tensors.map(({ source, sameAs, ...tensor }) => ({
      ...{ ...tensor, id: move(tensor.id), module: move(tensor.module) },
      ...(source === undefined ? {} : { source: move(source) }),
      ...(sameAs === undefined ? {} : { sameAs: move(sameAs) }),
    })),
    tokens: layout.tokens.map((rows) => ({
      ...{ ...rows, module: move(rows.module), id: move(rows.id) },
      tied: rows.tied.map(move),
    })),
  }
}
