/**
 * @file The values that trained tensors began with, as a training graph reads them: frozen weights beside the base's.
 * Decay toward them (arXiv 2006.05987, section 6, after 1905.02244) and mixout (train/mixout.ts) look at them.
 * Must not know where first values come from.
 */
import type { WeightSource } from '../engine/engine.ts'
import type { WeightRef } from '../formats/tensor-files.ts'
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import { invariant } from '../support/errors.ts'
import { type HostTensor, sizeOf } from '../tensor/host-tensor.ts'
import type { ParameterGroup } from './parameter-groups.ts'

const PRIOR = 'prior:'

/** A tensor's first value in a graph. */
export function priorOf(g: Builder, { id, shape }: Pick<AdapterTensor, 'id' | 'shape'>): Node {
  return g.weight(PRIOR + id, shape)
}

/** The first values of tensors under the names that a graph asks for them by. @param first by id */
export function priorWeights(
  tensors: readonly Pick<AdapterTensor, 'id'>[],
  first: WeightSource,
): Map<string, WeightRef | HostTensor> {
  return new Map(
    tensors.map(({ id }) => {
      const value = first.get(id)
      invariant(value, `${id} has no first value`)
      return [PRIOR + id, value]
    }),
  )
}

/**
 * A group's vector after its pull: w ← w − rate·decay·(w − w₀), before the optimizer's own step and beside its weight
 * decay, as the paper's code does it (prior_wd_optim.py).
 */
export function pulled(g: Builder, group: ParameterGroup, w: Node, rate: Node, decay: number): Node {
  const parts = group.tensors.map((tensor) => g.reshape(priorOf(g, tensor), { shape: [sizeOf(tensor.shape)] }))
  return g.sub(w, g.mul(g.mul(rate, decay), g.sub(w, g.concat(parts, { axis: 0 }))))
}
