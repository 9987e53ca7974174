/**
 * @file What everything above the model files knows of a model: its config, its modules, and the graph from token ids to
 * hidden states and from those to what it predicts. `causal-lm.ts` and `encoder.ts` make them from a family's file.
 * Must not know training, adapters or engines.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { HeadSpec } from '../formats/task.ts'
import type { Node } from '../graph/types.ts'
import { newBuilder } from '../ops/index.ts'
import { LowrankError } from '../support/errors.ts'
import type { ModuleInfo, Sublayer } from './modules.ts'
import { createNet, type Head, type Layer, type Net } from './net.ts'

/** What every family's config says, whatever its own names for it. */
export interface CommonConfig {
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** Longest sample the model allows. */
  readonly maxPositions: number
  /** A sample of more tokens is computed differently from its first token on (LongRoPE). */
  readonly longFrom?: number | undefined
  readonly tieWordEmbeddings: boolean
  /** Standard deviation of freshly drawn weights. */
  readonly initializerRange: number
}

/** Largest sizes a config may ask for, far above any model there is: a torn number must not build a graph for hours. */
export const LARGEST = { width: 2 ** 20, layers: 1000, ids: 2 ** 24 } as const

/** Feeds that a forward pass may read (train/loss-graph.ts declares them). */
export type FeedName = 'ids' | 'positions' | 'segments' | 'tokenTypes' | 'columns'

/** A model: a family with its config and its head bound. */
export interface Model {
  readonly modelType: string
  readonly config: CommonConfig
  readonly raw: HfConfig
  readonly prefix: string
  /** What its head is for, and the labels it tells apart. */
  readonly spec: HeadSpec
  /** Its vocabulary's output layer; absent where the head is none. */
  readonly head?: Head | undefined
  /** Beginning of its class names (`Bert`); absent for decoders, which have one class. */
  readonly classPrefix?: string | undefined
  /** Kinds of token types its rows may carry; 0 where it takes none. */
  readonly tokenTypes: number
  /** Every module in order, with the tensors each holds. */
  readonly modules: readonly ModuleInfo[]
  /** Where bottleneck adapters can sit; none in decoders. */
  readonly sublayers: readonly Sublayer[]
  /** The feeds that `hidden` reads. */
  readonly reads: ReadonlySet<FeedName>
  /** → the last hidden state, `f32[batch, seq, hidden]`. */
  hidden(net: Net, ids: Node): Node
  /** Rows of the last hidden state `f32[n, hidden]` → what the head makes of them, `f32[n, vocab or labels]`. */
  logits(net: Net, rows: Node): Node
  /** Loss of each row against its label, without keeping logits where that is cheaper: `f32[n, hidden], i64[n] → f32[n]`. */
  losses(net: Net, rows: Node, labels: Node): Node
  /**
   * Makes hidden states ones from which a sample's first token alone tells all of it, where the head pools
   * (ModernBERT's mean): `f32[batch, seq, hidden]` → the same.
   */
  pooled?: ((net: Net, hidden: Node) => Node) | undefined
  /** What files call a tensor. */
  fileName(name: string): string
  blockOf(scope: string): string | undefined
  initialDeviation(name: string): number
}

/** Erases a family's config type behind a function, so that a registry holds families of all kinds without casts. */
export interface ModelFamily {
  readonly modelTypes: readonly string[]
  /** @param head instead of the one that the config means */
  open(raw: HfConfig, modelType: string, head?: HeadSpec): Model
}

/** Builds a model once without an engine and writes down every module it meets, and every feed it reads. */
export function describe(
  hidden: (net: Net, ids: Node) => Node,
  logits: (net: Net, rows: Node) => Node,
): Pick<Model, 'modules' | 'sublayers' | 'reads'> {
  const g = newBuilder()
  const modules = new Map<string, ModuleInfo>()
  const grid = (name: FeedName): Node => g.feed(name, { dtype: 'i64', shape: ['batch', 'seq'] })
  const [positions, segments] = [grid('positions'), grid('segments')]
  const inputs = {
    positions,
    segments,
    keyPositions: positions,
    keySegments: segments,
    tokenTypes: grid('tokenTypes'),
    columns: g.feed('columns', { dtype: 'i64', shape: ['seq'] }),
  }
  let isAbove = false
  const onModule = (module: ModuleInfo): void => {
    // A layer that is used twice (DeBERTa's projections of positions) is one module.
    if (!modules.has(module.path)) modules.set(module.path, isAbove ? { ...module, isAbove } : module)
  }
  const sublayers: Sublayer[] = []
  const onSublayer = (sublayer: Sublayer): number => sublayers.push(sublayer)
  const offGrid = new Set<string>()
  const adapt = ({ site }: Layer, x: Node): undefined => {
    if (x.type.shape[0] !== 'batch') offGrid.add(site.path)
  }
  const net = createNet(g, inputs, { base: (name, shape) => g.weight(name, shape), onModule, onSublayer, adapt })
  const states = hidden(net, grid('ids'))
  isAbove = true
  logits(net, states)
  const found = [...modules.values()].map((one) => (offGrid.has(one.path) ? { ...one, isOffGrid: true } : one))
  return { modules: found, sublayers, reads: feedsBelow(states) }
}

function feedsBelow(output: Node): Set<FeedName> {
  const [seen, found] = [new Set<Node>(), new Set<FeedName>()]
  const open = [output]
  for (let node = open.pop(); node; node = open.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    if (node.op === 'input' && node.params.kind === 'feed') found.add(node.params.name as FeedName)
    open.push(...node.inputs)
  }
  return found
}

/** A field nobody read may change the maths: better refused by name than ignored. */
export function refuseUnread(raw: HfConfig, modelType: string): void {
  const unread = raw.unread()
  if (unread.length === 0) return
  const shown = unread.map((field) => `${field} = ${JSON.stringify(raw.value(field))}`).join(', ')
  throw new LowrankError('unsupported', `${raw.file} sets ${shown}, which lowrank's ${modelType} does not know`, {
    file: raw.file,
    field: unread[0],
    suggestion: 'remove the field from config.json if it does not change what the model computes',
  })
}
