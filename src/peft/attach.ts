/**
 * @file Puts adapters into a net: the wiring that answers with trained tensors where an adapter has them and applies
 * its method at each of its sites. Must not know where tensors come from, or training.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { Sublayer } from '../models/modules.ts'
import { dropoutFactors, type Layer, leads, type Meeting, type Wiring } from '../models/net.ts'
import { invariant } from '../support/errors.ts'
import type { AdapterLayout, AdapterTensor, TokenRows } from './adapter-layout.ts'
import { applyBottleneck } from './bottleneck.ts'
import { idAt } from './method.ts'

/** What a graph needs to know of an adapter. */
export type AttachedLayout = Pick<
  AdapterLayout,
  'sites' | 'tensors' | 'tokens' | 'invocation' | 'tiesHeads' | 'bottlenecks'
>

/** What sits on the base: an adapter, or (for full fine-tuning) trained copies of everything. */
export interface Attached {
  readonly layout: AttachedLayout
  /** The graph's node for a trained tensor. */
  parameter(tensor: AdapterTensor): Node
  /** What a layer reads in place of a trained tensor of the base that it knows as `name` (mixout). */
  mix?(name: string, tensor: AdapterTensor, node: Node): Node
  /**
   * Share of each batch row, `f32[batch]`. Of the base such an adapter replaces nothing but vectors of the body (norms,
   * biases), for rows whose share is above 0.
   */
  readonly rowWeight?: Node | undefined
  /** 1 where its updates act, 0 elsewhere; for layouts with an `invocation`. */
  readonly active?: ByToken | undefined
  /** `lora_dropout`. @default 0 */
  readonly dropout?: number
  /** A trained tensor also serves the head tied to it (full fine-tuning); PEFT's copies untie. */
  readonly followsTies?: boolean
}

/** A number for each token, for layers that see activations by token, and for each row that the head sees. */
export interface ByToken {
  /** `[batch, seq]`. */
  readonly tokens: Node
  readonly rows: Node
}

/** Keys of dropout masks, and one for what the whole step shares. */
export interface DropoutKeys extends ByToken {
  readonly step?: Node | undefined
}

/** The one that fits `x`, by its first extents. */
const fitting = ({ tokens, rows, step }: DropoutKeys, x: Node): Node =>
  [tokens, rows].find((keys) => leads(keys, x)) ?? step ?? rows

/** Wires adapters onto frozen weights. */
export function attach(
  g: Builder,
  frozen: (name: string, shape: readonly number[]) => Node,
  attached: readonly Attached[],
  dropoutKeys?: DropoutKeys,
): Wiring {
  const bound = attached.map((adapter) => bind(adapter))
  return {
    base(name, shape, sharedWith) {
      const base = (): Node => frozen(sharedWith ?? name, shape)
      let chosen: Node | undefined
      for (const { replaced, adapter } of bound) {
        const follows = adapter.followsTies || adapter.layout.tiesHeads
        const tensor = replaced.get(name) ?? (follows && sharedWith ? replaced.get(sharedWith) : undefined)
        if (!tensor) continue
        const own = adapter.parameter(tensor)
        if (!adapter.rowWeight) return adapter.mix?.(name, tensor, own) ?? own
        chosen = byRow(g, adapter.rowWeight, own, chosen ?? base())
      }
      return chosen ?? base()
    },
    adapt(layer, x) {
      const here = bound.filter(({ touches }) => touches.has(layer.site.path))
      if (here.length === 0) return undefined
      return here.reduce((y, adapter) => adaptLayer(g, adapter, layer, x, y, dropoutKeys), layer.apply(x))
    },
    adaptSublayer(sublayer, meeting) {
      return bound.reduce((out, one) => adaptSublayer(g, one, sublayer, { ...meeting, out }), meeting.out)
    },
  }
}

/** `own` for rows with a share, else `other`: `f32[width]` each → `f32[batch, 1, width]`. */
function byRow(g: Builder, share: Node, own: Node, other: Node): Node {
  const rows = g.reshape(share, { shape: [share.type.shape[0] ?? 1, 1, 1] })
  return g.select(g.less(0, rows), own, other)
}

interface Bound {
  readonly adapter: Attached
  /** Base tensors this adapter has its own value for, by Hugging Face name. */
  readonly replaced: ReadonlyMap<string, AdapterTensor>
  readonly byId: ReadonlyMap<string, AdapterTensor>
  /** Paths at which it computes something. */
  readonly touches: ReadonlySet<string>
}

function bind(adapter: Attached): Bound {
  const { sites, tensors, tokens } = adapter.layout
  const own = tensors.filter((t) => t.trained && !t.sameAs)
  return {
    adapter,
    replaced: new Map(
      own.filter((t) => t.role === 'saved' || t.role === 'bias').map((t) => [`${t.module}.${t.parameter}`, t]),
    ),
    byId: new Map(tensors.filter((t) => t.trained).map((t) => [t.id, t])),
    touches: new Set([...sites.map((s) => s.path), ...tokens.flatMap((t) => [t.module, ...t.tied])]),
  }
}

function adaptSublayer(g: Builder, { adapter, byId }: Bound, { path }: Sublayer, meeting: Meeting): Node {
  const { bottlenecks } = adapter.layout
  const site = bottlenecks?.sites.find((one) => one.path === path)
  if (!bottlenecks || !site) return meeting.out
  const parameter = (id: string): Node => {
    const tensor = byId.get(id)
    invariant(tensor, `the adapter has no tensor ${id}`)
    return adapter.parameter(tensor)
  }
  return applyBottleneck(g, meeting, { site, config: bottlenecks.config, parameter, rowWeight: adapter.rowWeight })
}

function adaptLayer(g: Builder, bound: Bound, layer: Layer, x: Node, y: Node, keys: DropoutKeys | undefined): Node {
  const { adapter, byId } = bound
  const { path } = layer.site
  const parameter = (id: string): Node => {
    const tensor = byId.get(id)
    if (!tensor) throw new Error(`internal: the adapter has no tensor ${id}`)
    if (tensor.sameAs === undefined) return adapter.parameter(tensor)
    const shared = parameter(tensor.sameAs)
    return tensor.transposed ? g.transpose(shared, { perm: [1, 0] }) : shared
  }
  const rows = adapter.layout.tokens.find((t) => t.module === path || t.tied.includes(path))
  if (rows) return replaceRows({ g, layer, x, y, rows, values: parameter(rows.id) })
  const site = adapter.layout.sites.find((s) => s.path === path)
  if (!site) return y
  const rate = adapter.dropout ?? 0
  const dropout = (input: Node): Node => {
    if (!keys || rate === 0) return input
    return g.mul(input, dropoutFactors(g, fitting(keys, input), `${path}.lora_dropout`, rate, input))
  }
  const own = (name: string): Node => parameter(idAt(site, name))
  const { rowWeight, active } = adapter
  const tokenWeight = active && fitting(active, x)
  return site.method.apply({ g, layer, site, x, parameter: own, dropout, rowWeight, tokenWeight }, y)
}

interface RowReplacement {
  readonly g: Builder
  readonly layer: Layer
  readonly x: Node
  readonly y: Node
  readonly rows: TokenRows
  /** `f32[rows, width]`. */
  readonly values: Node
}

/** Trained rows stand in for rows of an embedding (`x` is ids), or of a head tied to it (`x` is activations). */
function replaceRows({ g, layer, x, y, rows, values }: RowReplacement): Node {
  const indices = g.constant({ dtype: 'i64', shape: [rows.indices.length], values: rows.indices })
  if (layer.site.kind === 'embedding') {
    const ids = g.reshape(x, { shape: [...x.type.shape, 1] })
    const chosen = g.cast(g.equal(ids, indices), { to: 'f32' })
    const any = g.sum(chosen, { axes: [chosen.type.shape.length - 1], keepDims: true })
    return g.select(g.less(0, any), g.matmul(chosen, values), y)
  }
  const columns = g.oneHot(indices, { depth: layer.site.outFeatures })
  const any = g.sum(columns, { axes: [0] })
  return g.select(g.less(0, any), g.matmul(g.matmul(x, values, { transB: true }), columns), y)
}
