/**
 * @file Bottleneck adapters at the end of a sublayer: Houlsby's (arXiv 1902.00751), Pfeiffer's (arXiv 2005.00247) and the
 * parallel one (arXiv 2110.04366), as AdapterHub computes them (`double_seq_bn`, `seq_bn`, `par_bn`).
 * Must not know files, training or which sublayers a model has.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { type Activation, activate } from '../models/activation.ts'
import type { Sublayer } from '../models/modules.ts'
import type { Meeting } from '../models/net.ts'
import { LowrankError } from '../support/errors.ts'
import { RandomStream } from '../support/random.ts'
import { f32, type TypedTensor, zeros } from '../tensor/host-tensor.ts'

export interface BottleneckConfig {
  /** Width of the bottleneck; 0 where only the layers of `sizes` have one. */
  readonly size: number
  /** Of layers with another width. */
  readonly sizes?: ReadonlyMap<number, number>
  readonly activation: Activation
  /** Factor on what is added. */
  readonly scaling: number
  readonly places: readonly Sublayer['place'][]
  /** What the adapter reads: the sublayer's output, that output normed with the residual, or the sublayer's input. */
  readonly reads: 'output' | 'normed' | 'input'
  readonly start: BottleneckStart
  /** Layers without an adapter (AdapterDrop, arXiv 2010.11918). */
  readonly leaveOut: readonly number[]
}

export type BottleneckStart =
  /** Normal with this deviation, cut at twice it; biases 0: near the identity. */
  | { readonly kind: 'truncated'; readonly deviation: number }
  /** Normal with deviation 0.02, as BERT's own layers. */
  | { readonly kind: 'normal' }
  /** Down as torch starts a linear layer, up 0: the identity. */
  | { readonly kind: 'zero-up' }

export const BOTTLENECK_METHODS = ['houlsby', 'pfeiffer', 'parallel'] as const
export type BottleneckMethod = (typeof BOTTLENECK_METHODS)[number]

/** A method's settings; what a run may change is its size, its leave-outs, and for Houlsby the deviation of the start. */
export function bottleneckConfig(
  method: BottleneckMethod,
  { size, deviation, leaveOut }: { size: number; deviation: number; leaveOut: readonly number[] },
): BottleneckConfig {
  const common = { size, leaveOut }
  if (method === 'houlsby')
    return {
      ...common,
      activation: 'gelu', // the authors' code; AdapterHub's double_seq_bn has swish
      scaling: 1,
      places: ['attention', 'feedForward'],
      reads: 'output',
      start: { kind: 'truncated', deviation },
    }
  const one = { ...common, activation: 'relu', places: ['feedForward'] } as const
  return method === 'pfeiffer'
    ? { ...one, scaling: 1, reads: 'normed', start: { kind: 'normal' } }
    : { ...one, scaling: 4, reads: 'input', start: { kind: 'zero-up' } }
}

/** An adapter at one sublayer. Ids of its tensors by their short names. */
export interface BottleneckSite extends Sublayer {
  readonly size: number
  readonly ids: Readonly<Record<'down' | 'downBias' | 'up' | 'upBias', string>>
}

/** What a layout says of bottlenecks. */
export interface Bottlenecks {
  readonly config: BottleneckConfig
  readonly sites: readonly BottleneckSite[]
}

/** @throws LowrankError `config` where the model has no sublayers, or every one of them is left out */
export function placeBottlenecks(sublayers: readonly Sublayer[], config: BottleneckConfig): Bottlenecks {
  if (sublayers.length === 0)
    throw new LowrankError('unsupported', 'bottleneck adapters sit in encoders; this model is none', {
      field: 'method',
    })
  const layers = new Set(sublayers.map(({ layer }) => layer))
  const unknown = config.leaveOut.find((layer) => !layers.has(layer))
  if (unknown !== undefined)
    throw new LowrankError(
      'config',
      `adapter-drop: there is no layer ${unknown}; the model has 0 to ${layers.size - 1}`,
      {
        field: 'adapter-drop',
      },
    )
  const sites = sublayers
    .filter(({ place, layer }) => config.places.includes(place) && !config.leaveOut.includes(layer))
    .map((sublayer): BottleneckSite => {
      const id = (part: string): string => `${sublayer.path}.adapters.${part}`
      const ids = {
        down: id('adapter_down.0.weight'),
        downBias: id('adapter_down.0.bias'),
        up: id('adapter_up.weight'),
        upBias: id('adapter_up.bias'),
      }
      return { ...sublayer, size: sizeAt(config, sublayer.layer), ids }
    })
  if (sites.length === 0)
    throw new LowrankError('config', 'adapter-drop leaves no layer with an adapter', { field: 'adapter-drop' })
  return { config, sites }
}

function sizeAt({ size, sizes }: BottleneckConfig, layer: number): number {
  const own = sizes?.get(layer) ?? size
  if (own > 0) return own
  const named = [...(sizes?.keys() ?? [])].join(', ')
  throw new LowrankError(
    'config',
    `reduction_factor names layers ${named} and no default: layer ${layer} has no size`,
    {
      field: 'reduction_factor',
    },
  )
}

/** Shapes of a site's tensors, by short name. */
export function bottleneckShapes({ size, width }: BottleneckSite): Record<keyof BottleneckSite['ids'], number[]> {
  return { down: [size, width], downBias: [size], up: [width, size], upBias: [width] }
}

export interface BottleneckParts {
  readonly site: BottleneckSite
  readonly config: BottleneckConfig
  parameter(id: string): Node
  /** `f32[batch]`: how much of it each row takes. */
  readonly rowWeight?: Node | undefined
}

/** What is added to the residual in place of the sublayer's output: `out + s · up(act(down(read)))`, `f32[batch, seq, hidden]`. */
export function applyBottleneck(
  g: Builder,
  meeting: Meeting,
  { site, config, parameter, rowWeight }: BottleneckParts,
): Node {
  const { out } = meeting
  const inner = g.matmul(readBy(g, meeting, config), parameter(site.ids.down), { transB: true })
  const bent = activate(g, config.activation, g.add(inner, parameter(site.ids.downBias)))
  const up = g.add(g.matmul(bent, parameter(site.ids.up), { transB: true }), parameter(site.ids.upBias))
  const scaled = config.scaling === 1 ? up : g.mul(up, config.scaling)
  const rows = rowWeight && g.reshape(rowWeight, { shape: [rowWeight.type.shape[0] ?? 1, 1, 1] })
  return g.add(out, rows ? g.mul(scaled, rows) : scaled)
}

function readBy(g: Builder, { out, residual, norm }: Meeting, { reads }: BottleneckConfig): Node {
  if (reads === 'output') return out
  if (reads === 'input') return residual
  const sum = g.add(out, residual)
  return norm ? norm(sum) : sum
}

/** First values of a site's tensors by id. Each tensor has a random stream of its own. */
export function startBottleneck(
  site: BottleneckSite,
  { start }: BottleneckConfig,
  seed: number,
): Map<string, TypedTensor<'f32'>> {
  const shapes = bottleneckShapes(site)
  const draw = (part: 'down' | 'up', next: (random: RandomStream) => number): TypedTensor<'f32'> => {
    const random = new RandomStream(seed, `init/${site.ids[part]}`)
    const [rows = 0, columns = 0] = shapes[part]
    return f32(
      [rows, columns],
      Float32Array.from({ length: rows * columns }, () => next(random)),
    )
  }
  const normal = (random: RandomStream): number => 0.02 * random.normal()
  const down =
    start.kind === 'zero-up'
      ? draw('down', (random) => (2 * random.uniform() - 1) / Math.sqrt(site.width))
      : draw('down', start.kind === 'normal' ? normal : truncated(start.deviation))
  const up =
    start.kind === 'zero-up'
      ? zeros('f32', shapes.up)
      : draw('up', start.kind === 'normal' ? normal : truncated(start.deviation))
  return new Map([
    [site.ids.down, down],
    [site.ids.downBias, zeros('f32', shapes.downBias)],
    [site.ids.up, up],
    [site.ids.upBias, zeros('f32', shapes.upBias)],
  ])
}

/** Normal numbers beyond twice the deviation are drawn again. */
const truncated =
  (deviation: number) =>
  (random: RandomStream): number => {
    for (;;) {
      const value = random.normal()
      if (Math.abs(value) <= 2) return deviation * value
    }
  }
