/**
 * @file Trained tensors laid end to end in one flat vector a group, so that an optimizer step is a handful of ops however
 * many tensors an adapter has. Must not know optimizers' maths.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import { invariant } from '../support/errors.ts'
import { type HostTensor, sizeOf, type TypedTensor } from '../tensor/host-tensor.ts'

/** Tensors that share a learning rate and a decay. */
export interface ParameterGroup {
  /** Name of the state input that holds the vector. */
  readonly name: string
  readonly tensors: readonly AdapterTensor[]
  /** Elements in all. */
  readonly size: number
  /** Factor on the learning rate. */
  readonly rateFactor: number
  readonly decays: boolean
  /** Pulled toward their first values, where the step's `priorDecay` says how hard. */
  readonly pulls: boolean
}

/** What decides a tensor's group. */
export interface GroupRule {
  rateFactor(tensor: AdapterTensor): number
  decays(tensor: AdapterTensor): boolean
  /** @default false */
  pulls(tensor: AdapterTensor): boolean
  /** Trained by no step, though the adapter has it. */
  holds(tensor: AdapterTensor): boolean
}

/** Groups trained tensors in their order; twins that PEFT only writes twice are left out. */
export function groupParameters(tensors: readonly AdapterTensor[], rule?: Partial<GroupRule>): ParameterGroup[] {
  const groups = new Map<string, AdapterTensor[]>()
  for (const tensor of tensors) {
    if (!tensor.trained || tensor.sameAs || rule?.holds?.(tensor)) continue
    const { rateFactor = () => 1, decays = () => true, pulls = () => false } = rule ?? {}
    const key = JSON.stringify([rateFactor(tensor), decays(tensor), pulls(tensor)])
    groups.set(key, [...(groups.get(key) ?? []), tensor])
  }
  return [...groups].map(([key, members], i) => {
    const [rateFactor, decays, pulls] = JSON.parse(key) as [number, boolean, boolean]
    const size = members.reduce((sum, t) => sum + sizeOf(t.shape), 0)
    return { name: `parameters.${i}`, tensors: members, size, rateFactor, decays, pulls }
  })
}

/** The graph's node of each tensor: a slice of its group's vector. */
export function sliceGroups(g: Builder, groups: readonly ParameterGroup[]): Map<string, Node> {
  const nodes = new Map<string, Node>()
  for (const group of groups) {
    const flat = g.state(group.name, [group.size])
    let start = 0
    for (const tensor of group.tensors) {
      const size = sizeOf(tensor.shape)
      nodes.set(tensor.id, g.reshape(g.slice(flat, { axis: 0, start, size }), { shape: tensor.shape }))
      start += size
    }
  }
  return nodes
}

/** Lays host tensors end to end in a group's order. */
export function packGroup(group: ParameterGroup, values: ReadonlyMap<string, HostTensor>): TypedTensor<'f32'> {
  const data = new Float32Array(group.size)
  let start = 0
  for (const tensor of group.tensors) {
    const value = values.get(tensor.id)
    invariant(
      value?.dtype === 'f32' && value.data.length === sizeOf(tensor.shape),
      `${tensor.id} has no f32 value of its shape`,
    )
    data.set(value.data, start)
    start += value.data.length
  }
  return { dtype: 'f32', shape: [group.size], data }
}

/** The tensors of a group's vector, by id. */
export function unpackGroup(group: ParameterGroup, flat: HostTensor): Map<string, TypedTensor<'f32'>> {
  invariant(flat.dtype === 'f32' && flat.data.length === group.size, `${group.name} has ${flat.data.length} elements`)
  const out = new Map<string, TypedTensor<'f32'>>()
  let start = 0
  for (const { id, shape } of group.tensors) {
    const size = sizeOf(shape)
    out.set(id, { dtype: 'f32', shape, data: flat.data.slice(start, start + size) })
    start += size
  }
  return out
}
