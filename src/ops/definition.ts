/**
 * @file What an op is, in one place: its inputs by name, type rule, derivative, and for a composite its expansion.
 * Must not know engines.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node, TensorType } from '../graph/types.ts'
import type { CompositeName, CoreName, InputNames, OpName, Ops, ParamsOf } from '../graph/vocabulary.ts'

/** Inputs of an application, by the names its definition gives them. */
export type Inputs<K extends OpName> = { readonly [N in InputNames<K>]: Node }

/** Cotangent of one input, given the output's: asked for only where that input needs a gradient. */
export type Vjp<K extends OpName> = (g: Builder, inputs: Inputs<K>, dy: Node, params: ParamsOf<K>, y: Node) => Node

interface Common<K extends OpName> {
  readonly inputs: Ops[K]['inputs']
  readonly optional: Ops[K]['optional']
  /** Type of the output; throws where the inputs do not fit. */
  type(inputs: readonly TensorType[], params: ParamsOf<K>): TensorType
}

/** Core ops give a derivative for every input; `null` says that none exists (indices, conditions, step functions). */
export interface CoreDefinition<K extends CoreName> extends Common<K> {
  readonly vjp: { readonly [N in InputNames<K>]: Vjp<K> | null }
  /** For ops with any number of inputs: the cotangent of input `index`. */
  readonly vjpMany?: (g: Builder, inputs: readonly Node[], index: number, dy: Node, params: ParamsOf<K>) => Node
}

/** Composite ops differentiate through their expansion wherever they give no derivative of their own. */
export interface CompositeDefinition<K extends CompositeName> extends Common<K> {
  expand(g: Builder, inputs: Inputs<K>, params: ParamsOf<K>): Node
  readonly vjp?: { readonly [N in InputNames<K>]?: Vjp<K> | null }
}

export type CoreTable = { readonly [K in CoreName]: CoreDefinition<K> }
export type CompositeTable = { readonly [K in CompositeName]: CompositeDefinition<K> }

/** Inputs of a node by name, in the order of its definition. */
export function namedInputs<K extends OpName>(names: Ops[K]['inputs'], nodes: readonly Node[]): Inputs<K> {
  return Object.fromEntries((names as readonly string[]).map((name, i) => [name, nodes[i]])) as Inputs<K>
}

/** The most common type rule: the output is like the first input. */
export function likeFirst(inputs: readonly TensorType[]): TensorType {
  return at(inputs, 0)
}

/** The i-th type; arity is checked by the builder's own types. */
export function at(inputs: readonly TensorType[], i: number): TensorType {
  const type = inputs[i]
  if (!type) throw new Error(`internal: op is missing input ${i}`)
  return type
}

/** A type rule's complaint, with every type in it. */
export function typeError(op: string, expected: string, inputs: readonly TensorType[]): Error {
  return new Error(`internal: ${op} expects ${expected}, got ${inputs.map(formatType).join(', ')}`)
}

export function formatType(type: TensorType): string {
  return `${type.dtype}[${type.shape.join(', ')}]`
}
