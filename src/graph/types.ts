/** @file The graph: immutable typed nodes in single assignment form. Must not know what an op computes. */
import type { TensorType } from './tensor-type.ts'
import type { OpName, ParamsOf } from './vocabulary.ts'

export type { TensorType } from './tensor-type.ts'

/** What a node is for: passes treat forward work and backward work differently. */
export type Phase = 'forward' | 'backward' | 'update'

/** One application of an op. Nodes of one builder are unique: equal op, inputs and parameters are the same object. */
export interface NodeOf<K extends OpName> {
  readonly id: number
  readonly op: K
  readonly inputs: readonly Node[]
  readonly params: ParamsOf<K>
  readonly type: TensorType
  /** Where in the model it stands, e.g. `model.layers.3.self_attn.q_proj`; '' outside a model. */
  readonly scope: string
  readonly phase: Phase
}
export type Node = { [K in OpName]: NodeOf<K> }[OpName]

/** Named outputs over the nodes they need, in an order where every node follows its inputs. */
export interface Graph {
  readonly nodes: readonly Node[]
  readonly inputs: ReadonlyMap<string, NodeOf<'input'>>
  readonly outputs: ReadonlyMap<string, Node>
}
