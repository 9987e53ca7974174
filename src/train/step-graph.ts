/**
 * @file One training step as one graph: losses, gradients of the trained tensors, clipping, the optimizer. With
 * accumulation the same graph adds gradients up and applies them when `apply` says so.
 * Must not know engines or where batches come from.
 */
import { gradients } from '../autodiff/backward.ts'
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import type { Model } from '../models/model.ts'
import { newBuilder } from '../ops/index.ts'
import { abovePrefix, type FrozenPrefix, findFrozenPrefix } from '../passes/frozen-prefix.ts'
import { shareLowRank } from '../passes/share-low-rank.ts'
import type { Attached, AttachedLayout } from '../peft/attach.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import { invariant } from '../support/errors.ts'
import { type HostTensor, sizeOf } from '../tensor/host-tensor.ts'
import type { LoraFa } from './lora-fa.ts'
import { batchFeeds, batchLosses, labelledStates, ROW_FEEDS } from './loss-graph.ts'
import { type Mixout, mixed } from './mixout.ts'
import { type OptimizerName, optimizers } from './optimizers.ts'
import { type ParameterGroup, sliceGroups } from './parameter-groups.ts'
import { pulled } from './prior.ts'

/** What is trained on a model. */
export interface Trained {
  readonly model: Model
  readonly layout: AttachedLayout
  readonly groups: readonly ParameterGroup[]
  /** Dropout on A's input. */
  readonly dropout: number
  /** The head follows a trained embedding it is tied to (full fine-tuning). */
  readonly followsTies: boolean
  /** Tensors of the layout that no step changes, and what B's gradients are multiplied with. */
  readonly loraFa?: LoraFa | undefined
  /** Takes the place of all dropout. */
  readonly mixout?: Mixout | undefined
}

/** Weights that a training graph reads beside the base's: what LoRA-FA holds. */
export function heldWeights({ loraFa }: Pick<Trained, 'loraFa'>): Map<string, HostTensor> {
  const named = (prefix: string, all: ReadonlyMap<string, HostTensor> = new Map()): [string, HostTensor][] =>
    [...all].map(([id, value]) => [prefix + id, value])
  return new Map([...named(HELD, loraFa?.held), ...named(PROJECTION, loraFa?.projections)])
}

const HELD = 'held:'
const PROJECTION = 'projection:'

export interface StepOptions {
  readonly optimizer: OptimizerName
  readonly weightDecay: number
  /** Strength of the pull of `pulls` groups toward their first values. @default 0 */
  readonly priorDecay?: number
  /** Gradients longer than this are scaled down to it; 0 leaves them. */
  readonly maxGradNorm: number
  /** Several micro-batches a step. */
  readonly accumulates: boolean
  /** Whether dropout of the base's config or of the adapter acts. */
  readonly dropout: boolean
  /** Whether the config's dropout acts below everything trained too. @default true */
  readonly frozenDropout?: boolean
  /** Leaves what no step changes to a graph of its own, where that is worth it. @default false */
  readonly cutsPrefix?: boolean
}

export interface StepGraph {
  readonly graph: Graph
  /** State input → output that follows it. */
  readonly state: Readonly<Record<string, string>>
  /** What the graph asks for as feeds of the same names, computed from a row alone. */
  readonly prefix?: FrozenPrefix | undefined
}

/** The training step. Outputs: `losses: f32[labelled]`, `gradNorm: f32[]`, and the next state. */
export function buildStep(trained: Trained, options: StepOptions): StepGraph {
  const g = newBuilder()
  const forward = lossesIn(g, trained, options)
  return { ...completeStep(g, forward, trained, options), prefix: forward.prefix }
}

/** From losses `f32[n]` to the whole step: what each weighs is the feed `lossWeight`, one over their number for a mean. */
export function completeStep(
  g: Builder,
  { losses, parameters }: Forward,
  trained: Pick<Trained, 'groups' | 'loraFa'>,
  options: StepOptions,
): StepGraph {
  const flat = flatGradients(g, weighted(g, losses), trained.groups, parameters)
  const outputs = new Map<string, Node>([['losses', losses]])
  const state: Record<string, string> = {}
  const keep = (name: string, next: Node): void => {
    outputs.set(`next.${name}`, next)
    state[name] = `next.${name}`
  }
  g.during('update', '', () => update(g, trained, flat, options, outputs, keep))
  return { graph: graphOf(outputs), state }
}

/** What a step leaves out that `cutsPrefix`; undefined where it would leave nothing out. */
export function prefixOf(
  trained: Trained,
  options: Pick<StepOptions, 'dropout' | 'frozenDropout'>,
): FrozenPrefix | undefined {
  return lossesIn(newBuilder(), trained, { ...options, cutsPrefix: true }).prefix
}

/** Gradients of the loss alone, by tensor id: what tests and gradient comparisons look at. */
export function buildGradients(trained: Trained, dropout = false): Graph {
  const g = newBuilder()
  return completeGradients(g, lossesIn(g, trained, { dropout }))
}

/** From losses to `grad.<id>` of each trained tensor. */
export function completeGradients(g: Builder, { losses, parameters }: Forward): Graph {
  const loss = weighted(g, losses)
  const found = gradients(g, loss, [...parameters.values()])
  return graphOf([
    ['losses', losses],
    ...[...parameters.keys()].map((id, i) => [`grad.${id}`, found[i] ?? loss] as const),
  ])
}

/** Losses of each label without dropout (and logits, where the task has metrics), the trained tensors as state. */
export function buildEvaluation(trained: Trained): Graph {
  return buildEvaluationStep(trained, {}).graph
}

/** The same, without what no step changes where `cutsPrefix` says so. */
export function buildEvaluationStep(
  trained: Trained,
  options: Pick<StepOptions, 'cutsPrefix'>,
): Omit<StepGraph, 'state'> {
  const { losses, logits, prefix } = lossesIn(newBuilder(), trained, { ...options, dropout: false })
  return { graph: graphOf([['losses', losses], ...(logits ? ([['logits', logits]] as const) : [])]), prefix }
}

/** Logits of the rows that `labelRows` names, `f32[labelled, vocab or labels]`. */
export function buildLogits(trained: Trained): Graph {
  const g = newBuilder()
  const nodes = sliceGroups(g, trained.groups)
  const { net, rows } = labelledStates(g, trained.model, [attachedTo(g, trained, nodes)], batchFeeds(g, false))
  return graphOf([['logits', trained.model.logits(net, rows)]])
}

/** A forward pass as a step begins with it. */
export interface Forward {
  readonly losses: Node
  /** The trained tensors by id. */
  readonly parameters: ReadonlyMap<string, Node>
}

type ForwardOptions = Pick<StepOptions, 'dropout' | 'frozenDropout' | 'cutsPrefix'>

/** Losses of each labelled token, built in `g` in the form that trains fastest. */
function lossesIn(
  g: Builder,
  trained: Trained,
  { dropout, frozenDropout, cutsPrefix }: ForwardOptions,
): Forward & { logits?: Node; prefix?: FrozenPrefix | undefined } {
  const plain = newBuilder()
  const parameters = sliceGroups(plain, trained.groups)
  const attached = attachedTo(plain, trained, parameters, dropout)
  const drops = dropout && !trained.mixout
  const found = batchLosses(plain, trained.model, [attached], { ...batchFeeds(plain, drops), frozenDropout })
  const whole = graphOf([...Object.entries(found), ...parameters])
  const prefix = cutsPrefix ? findFrozenPrefix(whole, ROW_FEEDS) : undefined
  const rest = prefix ? abovePrefix(whole, prefix) : whole
  const images = shareLowRank(g, rest)
  const imageOf = (name: string): Node => {
    const node = rest.outputs.get(name)
    const image = node && images.get(node)
    invariant(image, `${name} of the forward pass is not in its graph`)
    return image
  }
  return {
    losses: imageOf('losses'),
    ...(found.logits ? { logits: imageOf('logits') } : {}),
    parameters: new Map([...parameters.keys()].map((id) => [id, imageOf(id)])),
    prefix,
  }
}

/** The loss of the step: `lossWeight` is one over the number of its labels. */
function weighted(g: Builder, losses: Node): Node {
  return g.mul(g.sum(losses, { axes: [0] }), g.feed('lossWeight', { dtype: 'f32', shape: [] }))
}

/** @param mixes whether mixout acts */
function attachedTo(g: Builder, trained: Trained, nodes: ReadonlyMap<string, Node>, mixes = false): Attached {
  const parameter = (tensor: AdapterTensor): Node => {
    if (trained.loraFa?.held.has(tensor.id)) return g.weight(HELD + tensor.id, tensor.shape)
    const node = nodes.get(tensor.id)
    invariant(node, `${tensor.id} is in no group`)
    return node
  }
  const { layout, dropout, followsTies, mixout } = trained
  const mix = mixes && mixout ? mixing(g, mixout) : undefined
  return { layout, dropout, followsTies, parameter, ...(mix ? { mix } : {}) }
}

function mixing(g: Builder, mixout: Mixout): NonNullable<Attached['mix']> {
  return (name, tensor, node) => mixed(g, mixout, name, tensor, node)
}

/**
 * Each group's gradient as one vector. All gradients are joined in one place, by nodes that stand in the order the
 * gradients are made: an engine that runs what an output needs one input after another then makes each gradient as soon
 * as it can, and what it was made from need not wait for the end of the step.
 */
function flatGradients(
  g: Builder,
  loss: Node,
  groups: readonly ParameterGroup[],
  nodes: ReadonlyMap<string, Node>,
): Node[] {
  const ids = [...nodes.keys()]
  const found = gradients(g, loss, [...nodes.values()])
  const made = ids.flatMap((id, i) => (found[i] ? [[id, found[i]] as const] : [])).sort(([, a], [, b]) => a.id - b.id)
  return g.during('backward', '', () => {
    const flat = new Map(made.map(([id, node]) => [id, g.reshape(node, { shape: [sizeOfNode(node)] })]))
    const parts = groups.flatMap(({ tensors }) => tensors.flatMap(({ id }) => flat.get(id) ?? []))
    const all = g.concat(parts, { axis: 0 })
    let start = 0
    return groups.map(({ size }) => {
      const own = g.slice(all, { axis: 0, start, size })
      start += size
      return own
    })
  })
}

function sizeOfNode(node: Node): number {
  return node.type.shape.reduce<number>((product, d) => product * Number(d), 1)
}

type Keep = (name: string, next: Node) => void

function update(
  g: Builder,
  { groups, loraFa }: Pick<Trained, 'groups' | 'loraFa'>,
  flat: readonly Node[],
  options: StepOptions,
  outputs: Map<string, Node>,
  keep: Keep,
): void {
  const apply = options.accumulates ? g.feed('apply', { dtype: 'bool', shape: [] }) : undefined
  const sums = flat.map((gradient, i) => {
    const group = groups[i]
    invariant(group, 'a gradient without its group')
    if (!apply) return gradient
    const sum = g.add(g.state(`${group.name}.gradient`, [group.size]), gradient)
    keep(`${group.name}.gradient`, g.select(apply, 0, sum))
    return sum
  })
  const norm = g.sqrt(sums.map((s) => g.sum(g.mul(s, s), { axes: [0] })).reduce((a, b) => g.add(a, b)))
  outputs.set('gradNorm', norm)
  // torch.nn.utils.clip_grad_norm_ has the same 1e-6.
  const clip = options.maxGradNorm > 0 ? g.minimum(g.div(options.maxGradNorm, g.add(norm, 1e-6)), 1) : undefined
  groups.forEach((group, i) => {
    const sum = sums[i]
    invariant(sum, 'a group without its gradient')
    const clipped = clip ? g.mul(sum, clip) : sum
    updateGroup(g, group, loraFa ? project(g, group, clipped, loraFa) : clipped, options, apply, keep)
  })
}

/** Gradients of a group with each B's multiplied by its projection (LoRA-FA). */
function project(g: Builder, group: ParameterGroup, flat: Node, { projections }: LoraFa): Node {
  let start = 0
  const parts = group.tensors.map(({ id, shape }) => {
    const size = sizeOf(shape)
    const part = g.slice(flat, { axis: 0, start, size })
    start += size
    const factor = projections.get(id)
    if (!factor) return part
    const projected = g.matmul(g.reshape(part, { shape }), g.weight(PROJECTION + id, factor.shape))
    return g.reshape(projected, { shape: [size] })
  })
  return g.concat(parts, { axis: 0 })
}

function updateGroup(
  g: Builder,
  group: ParameterGroup,
  gradient: Node,
  options: StepOptions,
  apply: Node | undefined,
  keep: Keep,
): void {
  const optimizer = optimizers[options.optimizer]
  const scalar = (name: string): Node => g.feed(name, { dtype: 'f32', shape: [] })
  const old = g.state(group.name, [group.size])
  const moments = Object.fromEntries(optimizer.moments.map((m) => [m, g.state(`${group.name}.${m}`, [group.size])]))
  const scalars = Object.fromEntries(Object.keys(optimizer.scalars(1)).map((name) => [name, scalar(name)]))
  const rate = g.mul(scalar('rate'), group.rateFactor)
  const weightDecay = group.decays ? options.weightDecay : 0
  const { priorDecay = 0 } = options
  const parameters = group.pulls && priorDecay > 0 ? pulled(g, group, old, rate, priorDecay) : old
  const next = optimizer.update({ g, parameters, gradient, moments, rate, weightDecay, scalars })
  const unless = (before: Node, after: Node): Node => (apply ? g.select(apply, after, before) : after)
  keep(group.name, unless(old, next.parameters))
  for (const [name, node] of Object.entries(next.moments))
    keep(`${group.name}.${name}`, unless(moments[name] ?? node, node))
}
