/**
 * @file The tensors of a merged model, file by file as the base has them, each computed when its turn comes.
 * Must not know folders or how files are written.
 */
import type { WeightRef } from '../engine/engine.ts'
import { type LazyTensor, readTensor } from '../formats/tensor-files.ts'
import { openWeights } from '../formats/weights-folder.ts'
import { bindWeights } from '../models/bind-weights.ts'
import type { ModuleInfo } from '../models/modules.ts'
import { asF32, storeLike } from '../peft/low-rank-update.ts'
import type { MergeAdapter, MergePlan } from '../peft/merge-model.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { type HostTensor, zeros } from '../tensor/host-tensor.ts'
import type { OpenWithAdapters } from './open-for-use.ts'

/** The adapters of an opened model with their weights, as a merge takes them. */
export function mergedWeights({ adapters, uses }: Pick<OpenWithAdapters, 'adapters' | 'uses'>): MergeAdapter[] {
  return adapters.map(({ name, layout, values }) => ({
    name,
    layout,
    values,
    weight: uses.find((use) => use.name === name)?.weight ?? 1,
  }))
}

/** One list of tensors a file of the base; tensors that the base does not have come last. */
export async function mergedShards(open: OpenWithAdapters, plan: MergePlan): Promise<LazyTensor[][]> {
  const { model, folder } = open.base
  const { refs: own, files } = await openWeights(folder)
  const refs = open.base.replicated?.expand(own) ?? own
  const inFile = new Map([...refs].map(([name, ref]) => [name, { ...ref, name }]))
  const { bound, fresh } = bindWeights(model, inFile, folder, 'given')
  // A model that gets a head is another class, in whose files every name is the model's own.
  const isWhole = fresh.length > 0
  const modelNames = new Map([...bound].map(([own, { name }]) => [name, own]))
  const brought = broughtTensors(open)
  const read = async (own: string): Promise<HostTensor> => {
    const ref = bound.get(own)
    invariant(ref, `the base has no tensor ${own}`)
    const held = brought.get(own)
    return held ? storeLike({ dtype: ref.dtype, shape: held.shape }, asF32(held, own)) : await readTensor(ref)
  }
  const changes = new Map(plan.tensors.map((tensor) => [tensor.name, tensor]))
  const shared = new Set(
    model.modules.flatMap(({ path, tiedTo }) => (tiedTo ? [model.fileName(`${path}.weight`)] : [])),
  )
  const tensorOf = (name: string, ref: WeightRef): LazyTensor[] => {
    const own = modelNames.get(name)
    if (own === undefined) return isWhole || shared.has(name) ? [] : [lazy(name, ref, () => readTensor(ref))]
    const change = changes.get(own)
    const listed = isWhole ? model.fileName(own) : name
    return [lazy(listed, ref, async () => (change ? change.compute(await read(change.source)) : await read(own)))]
  }
  const shards = files.map((file) => [...refs].flatMap(([name, ref]) => (ref.file === file ? tensorOf(name, ref) : [])))
  const added = plan.tensors.flatMap((change) => {
    if (bound.has(change.name)) return []
    const head = freshTensor(change.name, fresh)
    if (head) return [lazy(model.fileName(change.name), head, async () => change.compute(head))]
    const ref = bound.get(change.source)
    invariant(ref, `the base has no tensor ${change.source}`)
    return [lazy(model.fileName(change.name), ref, async () => change.compute(await read(change.source)))]
  })
  shards.at(-1)?.push(...added)
  return shards.filter((shard) => shard.length > 0)
}

/** What stands in for a tensor of a head that the base lacks: only its shape counts, since an adapter replaces it whole. */
function freshTensor(name: string, fresh: readonly ModuleInfo[]): HostTensor | undefined {
  for (const { path, parameters } of fresh)
    for (const parameter of parameters) if (`${path}.${parameter.name}` === name) return zeros('f32', parameter.shape)
  return undefined
}

function lazy(
  name: string,
  { dtype, shape }: Pick<WeightRef, 'dtype' | 'shape'>,
  data: LazyTensor['data'],
): LazyTensor {
  return { name, dtype, shape, data }
}

/** Base tensors that adapters bring along in place of the base's own. */
function broughtTensors({ adapters }: Pick<OpenWithAdapters, 'adapters'>): Map<string, HostTensor> {
  const found = new Map<string, HostTensor>()
  const owner = new Map<string, string>()
  for (const adapter of adapters)
    for (const [name, value] of adapter.base) {
      const other = owner.get(name)
      if (other !== undefined)
        throw new LowrankError('config', `adapters ${other} and ${adapter.name} both bring their own ${name}`, {
          field: name,
        })
      owner.set(name, adapter.name)
      found.set(name, value)
    }
  return found
}
