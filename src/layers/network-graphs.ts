/**
 * @file The graphs of a network with an adapter on it: output, loss, gradients, training step.
 * Must not know engines, files or values.
 */
import type { Builder } from '../graph/builder.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import { newBuilder } from '../ops/index.ts'
import { type Attached, attach } from '../peft/attach.ts'
import type { AdapterLayout, AdapterTensor } from '../peft/layout.ts'
import { invariant } from '../support/errors.ts'
import { type Dim, sizeOfShape } from '../tensor/dim.ts'
import { type ParameterGroup, sliceGroups } from '../train/parameter-groups.ts'
import { completeGradients, completeStep, type Forward, type StepGraph, type StepOptions } from '../train/step-graph.ts'
import { feedInputs, forwardIn, type InputNodes, type InputSpecs, inputType, type Network } from './network.ts'

/** What is trained on a network. */
export interface TrainedNetwork<I extends InputSpecs> {
  readonly network: Network<I>
  readonly layout: AdapterLayout
  readonly groups: readonly ParameterGroup[]
  /** Dropout on A's input. */
  readonly dropout: number
}

interface Built<I extends InputSpecs> {
  readonly inputs: InputNodes<I>
  readonly output: Node
  readonly parameters: ReadonlyMap<string, Node>
}

function build<I extends InputSpecs>(g: Builder, trained: TrainedNetwork<I>, dropout: boolean): Built<I> {
  const { network, layout, groups, dropout: rate } = trained
  const inputs = feedInputs(g, network)
  const parameters = sliceGroups(g, groups)
  const keys = dropout ? g.feed('dropoutKeys', { dtype: 'u32', shape: [batchDim(network)] }) : undefined
  const parameter = ({ id }: AdapterTensor): Node => {
    const node = parameters.get(id)
    invariant(node, `${id} is in no group`)
    return node
  }
  const attached: Attached = { layout, dropout: rate, parameter }
  const wiring = attach(g, (name, shape) => g.weight(name, shape), [attached], keys && { tokens: keys, rows: keys })
  return { inputs, output: forwardIn(g, network, inputs, wiring, keys), parameters }
}

function batchDim({ inputs }: Network): Dim {
  const [first] = Object.values(inputs)
  return (first && inputType(first).shape[0]) ?? 1
}

function losses<I extends InputSpecs>(
  g: Builder,
  trained: TrainedNetwork<I>,
  dropout: boolean,
): Forward & { each: Node } {
  const { inputs, output, parameters } = build(g, trained, dropout)
  const each = trained.network.loss(g, output, inputs)
  return { each, losses: g.reshape(each, { shape: [sizeOfShape(each.type.shape)] }), parameters }
}

/** `output`, with the adapter, without dropout. */
export function outputGraph<I extends InputSpecs>(trained: TrainedNetwork<I>): Graph {
  return graphOf([['output', build(newBuilder(), trained, false).output]])
}

/** `output` of the network alone. */
export function baseGraph<I extends InputSpecs>(network: Network<I>): Graph {
  const g = newBuilder()
  const wiring = { base: (name: string, shape: readonly number[]) => g.weight(name, shape) }
  return graphOf([['output', forwardIn(g, network, feedInputs(g, network), wiring)]])
}

/** `losses`, flat, without dropout. */
export function lossGraph<I extends InputSpecs>(trained: TrainedNetwork<I>): Graph {
  return graphOf([['losses', losses(newBuilder(), trained, false).losses]])
}

/** `losses` and `grad.<id>` of every trained tensor, without dropout; what each loss weighs is the feed `lossWeight`. */
export function gradientGraph<I extends InputSpecs>(trained: TrainedNetwork<I>): Graph {
  const g = newBuilder()
  return completeGradients(g, losses(g, trained, false))
}

/** One optimizer step; `size` is the number of losses, over the sides of the inputs. */
export function stepGraph<I extends InputSpecs>(
  trained: TrainedNetwork<I>,
  options: StepOptions,
): StepGraph & { size: Dim } {
  const g = newBuilder()
  const forward = losses(g, trained, options.dropout)
  return { ...completeStep(g, forward, trained, options), size: sizeOfShape(forward.each.type.shape) }
}
