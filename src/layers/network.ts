/**
 * @file A user's own network: named layers over frozen weights, a forward function and a loss. The layers are those that
 * the language models are written in (models/net.ts).
 * Must not know adapters, engines or training.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { ModuleInfo, ModuleParameter } from '../models/modules.ts'
import { createNet, type Net, type Wiring } from '../models/net.ts'
import { newBuilder } from '../ops/index.ts'
import { LowrankError } from '../support/errors.ts'
import type { Dim } from '../tensor/dim.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'

/** What a forward function builds with: layers by name, and every op of the vocabulary as `g`. */
export type Layers = Pick<Net, 'g' | 'scope' | 'linear' | 'embedding' | 'rmsNorm' | 'layerNorm' | 'dropout'>

/** Shape of an input, f32 unless it says otherwise. The first side is the batch, by a name: `['batch', 16]`. */
export type InputSpec = readonly Dim[] | { readonly dtype: 'f32' | 'i64'; readonly shape: readonly Dim[] }
export type InputSpecs = Readonly<Record<string, InputSpec>>
/** An input's node each. */
export type InputNodes<I extends InputSpecs> = { readonly [K in keyof I]: Node }
/** An input's values each. */
export type BatchOf<I extends InputSpecs> = { readonly [K in keyof I]: HostTensor }

export interface Network<I extends InputSpecs = InputSpecs> {
  readonly inputs: I
  /** The frozen weights by name (`hidden.weight` `f32[out, in]`, `hidden.bias`), or a safetensors or torch file of them. */
  readonly weights: Readonly<Record<string, HostTensor>> | string
  /** The output: f32, of any shape that begins with the batch. */
  forward(net: Layers, inputs: InputNodes<I>): Node
  /** Losses of any shape: a step makes their mean smaller. */
  loss(g: Builder, output: Node, inputs: InputNodes<I>): Node
}

/**
 * A network of your own.
 * @example
 * network({
 *   inputs: { x: ['batch', 16], y: { dtype: 'i64', shape: ['batch'] } },
 *   weights: 'mlp.safetensors',
 *   forward: (net, { x }) => net.linear('out', net.g.relu(net.linear('hidden', x, 32, { bias: true })), 4),
 *   loss: (g, logits, { y }) => g.crossEntropy(logits, y),
 * })
 */
export function network<const I extends InputSpecs>(definition: Network<I>): Network<I> {
  return definition
}

/** Input and target of a single linear layer. */
type LinearInputs = { readonly x: readonly ['batch', number]; readonly y: readonly ['batch', number] }

/**
 * The network of one linear layer, `y = x·Wᵀ + b`, with squared error: what LoRA is easiest to understand on.
 * @param weights `weight: f32[out, in]` and, where there is one, `bias: f32[out]`
 * @throws LowrankError `config` for a weight that is no matrix
 */
export function linear({ weight, bias }: { weight: HostTensor; bias?: HostTensor }): Network<LinearInputs> {
  const [outFeatures, inFeatures, ...more] = weight.shape
  if (outFeatures === undefined || inFeatures === undefined || more.length > 0)
    throw new LowrankError('config', `linear: the weight has shape [${weight.shape}], expected [out, in]`, {
      field: 'weight',
    })
  return {
    inputs: { x: ['batch', inFeatures], y: ['batch', outFeatures] },
    weights: { 'linear.weight': weight, ...(bias ? { 'linear.bias': bias } : {}) },
    forward: (net, { x }) => net.linear('linear', x, outFeatures, { bias: bias !== undefined }),
    loss: (g, output, { y }) => squaredError(g, output, y),
  }
}

/** (output − target)², element by element; the step's mean makes it the mean squared error. */
export function squaredError(g: Builder, output: Node, target: Node): Node {
  const difference = g.sub(output, target)
  return g.mul(difference, difference)
}

/** Declares a network's inputs in a graph. */
export function feedInputs<I extends InputSpecs>(g: Builder, { inputs }: Network<I>): InputNodes<I> {
  const nodes: Record<string, Node> = {}
  for (const [name, spec] of Object.entries(inputs)) nodes[name] = g.feed(name, inputType(spec))
  return nodes as InputNodes<I>
}

export function inputType(spec: InputSpec): { dtype: 'f32' | 'i64'; shape: readonly Dim[] } {
  return isShape(spec) ? { dtype: 'f32', shape: spec } : spec
}

/** Array.isArray does not narrow readonly arrays. */
function isShape(spec: InputSpec): spec is readonly Dim[] {
  return Array.isArray(spec)
}

/** The network's output in a graph, f32; `dropoutKeys` is `u32[batch]` where dropout acts. */
export function forwardIn<I extends InputSpecs>(
  g: Builder,
  definition: Network<I>,
  inputs: InputNodes<I>,
  wiring: Wiring,
  dropoutKeys?: Node,
): Node {
  // Positions and segments are for attention, which is not among the layers: nothing looks at them.
  const none = g.feed('#none', { dtype: 'i64', shape: ['batch', 'seq'] })
  const unused = { positions: none, segments: none, keyPositions: none, keySegments: none }
  const output = definition.forward(createNet(g, { ...unused, dropoutKeys }, wiring), inputs)
  if (output.type.dtype === 'f32') return output
  throw new LowrankError('config', `the network's output is ${output.type.dtype}, expected f32`, { field: 'forward' })
}

/** Every module that the forward function meets, in order. @throws LowrankError `config` for a name that comes twice. */
export function modulesOf<I extends InputSpecs>(definition: Network<I>): ModuleInfo[] {
  const g = newBuilder()
  const modules: ModuleInfo[] = []
  const onModule = (module: ModuleInfo): void => {
    if (modules.some(({ path }) => path === module.path))
      throw new LowrankError('config', `the network has two layers named ${module.path}`, {
        field: module.path,
        suggestion: 'give each layer a name of its own',
      })
    modules.push(module)
  }
  forwardIn(g, definition, feedInputs(g, definition), { base: (name, shape) => g.weight(name, shape), onModule })
  return modules
}

/** Names and shapes of the weights that modules need. */
export function parametersOf(modules: readonly ModuleInfo[]): ModuleParameter[] {
  return modules.flatMap(({ path, parameters }) =>
    parameters.map(({ name, shape }) => ({ name: `${path}.${name}`, shape })),
  )
}
