/**
 * @file An adapter with its values, ready to sit on a base for use: how it enters a graph, and whether each row of a
 * batch may choose and weight it. Must not know files, training or engines.
 */
import type { Builder } from '../graph/builder.ts'
import type { Attached, AttachedLayout } from '../peft/attach.ts'
import type { AdapterSite } from '../peft/layout.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'

export interface LoadedAdapter {
  /** The name requests choose it by. */
  readonly name: string
  readonly layout: AttachedLayout
  /** Its trained tensors by id, f32. */
  readonly values: ReadonlyMap<string, HostTensor>
  /** Frozen base tensors that it brings along and that differ from the base's, by Hugging Face name. */
  readonly base: ReadonlyMap<string, HostTensor>
}

/** One adapter of a request. */
export interface AdapterUse {
  readonly name: string
  /** Factor on its update. @default 1 */
  readonly weight?: number
}

/** Why an adapter acts on all rows of a batch alike; undefined for plain low-rank updates and bottlenecks, which each row can weight. */
export function actsOnWholeBatch({ layout, base }: LoadedAdapter): string | undefined {
  const roles = new Set(layout.tensors.filter((t) => t.trained).map((t) => t.role))
  const whole = layout.sites.find(({ method }) => !method.weighsRows)
  if (whole) return `it is a ${whole.method.type} adapter`
  if (roles.has('magnitude')) return 'it is a DoRA adapter'
  if (roles.has('saved'))
    return layout.bottlenecks
      ? 'it brings LayerNorms or a head of its own beside its bottlenecks'
      : 'it replaces whole modules (modules_to_save)'
  if (roles.has('bias')) return 'it replaces biases'
  if (roles.has('tokens')) return 'it replaces token rows (trainable_token_indices)'
  return base.size > 0 ? `it brings its own ${[...base.keys()].join(', ')}` : undefined
}

/** The adapter in a graph under construction, its tensors as weights named by `weightName`. */
export function attachLoaded(
  g: Builder,
  { name, layout }: LoadedAdapter,
  how: Pick<Attached, 'rowWeight' | 'active'> & { scale?: number } = {},
): Attached {
  const { rowWeight, active, scale = 1 } = how
  return {
    layout: scale === 1 ? layout : scaled(layout, scale),
    parameter: ({ id, shape }) => g.weight(weightName(name, id), shape),
    rowWeight,
    active,
  }
}

function scaled(layout: AttachedLayout, scale: number): AttachedLayout {
  const sites = layout.sites.map((s): AdapterSite => ({ ...s, scale: s.scale * scale }))
  if (!layout.bottlenecks) return { ...layout, sites }
  const { config, ...rest } = layout.bottlenecks
  return { ...layout, sites, bottlenecks: { ...rest, config: { ...config, scaling: config.scaling * scale } } }
}

/** Everything adapters bring to a graph's weights: their tensors, and base tensors of their own. */
export function adapterWeights(adapters: readonly LoadedAdapter[]): Map<string, HostTensor> {
  const weights = new Map<string, HostTensor>()
  for (const { name, values, base } of adapters) {
    for (const [id, value] of values) weights.set(weightName(name, id), value)
    for (const [id, value] of base) weights.set(id, value)
  }
  return weights
}

/** The adapters of a request by their names. @throws LowrankError `usage`, naming the nearest. */
export function findAdapters(adapters: readonly LoadedAdapter[], uses: readonly AdapterUse[]): LoadedAdapter[] {
  return uses.map(({ name }) => {
    const found = adapters.find((adapter) => adapter.name === name)
    if (found) return found
    const names = adapters.map((adapter) => adapter.name)
    const [near] = nearest(name, names)
    const there = names.length > 0 ? `there are ${names.join(', ')}` : 'none is loaded'
    throw new LowrankError('usage', `no adapter is named ${name}: ${there}`, { field: name, suggestion: near })
  })
}

/**
 * Refuses what cannot be meant: an adapter twice, a weight on one that has none, two that both change more than updates.
 * @throws LowrankError `usage` naming the adapter and why
 */
export function checkUses(adapters: readonly LoadedAdapter[], uses: readonly AdapterUse[]): void {
  const found = findAdapters(adapters, uses)
  const whole = found.flatMap((adapter) => {
    const why = actsOnWholeBatch(adapter)
    return why ? [{ name: adapter.name, why }] : []
  })
  for (const [i, { name, weight = 1 }] of uses.entries()) {
    const fail = (problem: string): never => {
      throw new LowrankError('usage', `adapter ${name}: ${problem}`, { field: name })
    }
    if (uses.findIndex((use) => use.name === name) !== i) fail('it is named twice')
    if (!Number.isFinite(weight)) fail(`its weight is ${weight}, which is not a number`)
    const own = whole.find((w) => w.name === name)
    if (own && weight !== 1) fail(`its weight is ${weight}, but ${own.why}, so it acts in full or not at all`)
    if (own && uses.length > 1) fail(`${own.why}, so it cannot be used together with others`)
  }
}

function weightName(adapter: string, id: string): string {
  return `adapter:${adapter}:${id}`
}
