/** @file What a lowering is: one op of lowrank as nodes of ONNX. Must not know single ops. */
import type { Node, NodeOf } from '../../graph/types.ts'
import type { OpName } from '../../graph/vocabulary.ts'
import { invariant } from '../../support/errors.ts'
import type { Emitter } from './emitter.ts'

export interface LowerCall<K extends OpName> {
  readonly e: Emitter
  readonly node: NodeOf<K>
  /** ONNX names of the node's inputs. */
  readonly inputs: readonly string[]
  /** Nodes that use this one's inputs with another op: lets two ops share work. */
  readonly siblings: (op: OpName) => readonly Node[]
}

/** Emits a node and answers the ONNX name of its value. */
export type Lower<K extends OpName> = (call: LowerCall<K>) => string
export type Lowerings<K extends OpName> = { readonly [N in K]: Lower<N> }

/** The i-th input's name; arity was checked when the graph was built. */
export function input({ inputs }: { readonly inputs: readonly string[] }, i: number): string {
  const name = inputs[i]
  invariant(name !== undefined, `lowering is missing input ${i}`)
  return name
}

/** A lowering that is one standard ONNX op over the same inputs. */
export function standard(type: string): (call: { readonly e: Emitter; readonly inputs: readonly string[] }) => string {
  return ({ e, inputs }) => e.op(type, inputs)
}

/**
 * Whether a mask is drawn outside of the model (see masks.ts): where what is fed says what its keys are, and unless memory
 * goes before speed, since all that are drawn are held at once.
 */
export function isDrawn({ inputs: [keys] }: NodeOf<'dropoutMask'>, lean: boolean): boolean {
  return !lean && keys?.op === 'input' && keys.params.kind === 'feed'
}
