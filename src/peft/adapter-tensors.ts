/**
 * @file Between the tensors lowrank trains and those of a PEFT file: names, twins, and the frozen base tensors that PEFT
 * writes besides. Must not know how files are read or written.
 */
import type { ModuleInfo } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import { type HostTensor, type TypedTensor, tensor } from '../tensor/host-tensor.ts'
import type { ReadBase } from './init.ts'
import { fileKey, matchKeys } from './keys.ts'
import type { AdapterLayout, AdapterTensor } from './layout.ts'
import { asF32, transpose } from './low-rank-update.ts'

/** What an adapter file holds for a layout. */
export interface LoadedTensors {
  /** Every trained tensor by id, as f32. */
  readonly trained: Map<string, TypedTensor<'f32'>>
  /** Frozen base tensors that the file brings along, by Hugging Face name: they stand in for the base's own. */
  readonly base: Map<string, HostTensor>
}

/**
 * Takes a layout's tensors out of an adapter file.
 * @param tensors the file's tensors by key
 * @throws LowrankError `format` with every mismatch (see `matchKeys`)
 */
export function loadAdapterTensors(
  layout: AdapterLayout,
  modules: readonly ModuleInfo[],
  tensors: ReadonlyMap<string, HostTensor>,
  file?: string,
): LoadedTensors {
  const listed = [...tensors].map(([name, { shape }]) => ({ name, shape }))
  const { keys, overrides } = matchKeys(layout, modules, listed, file)
  const trained = new Map<string, TypedTensor<'f32'>>()
  for (const [id, key] of keys) {
    const held = tensors.get(key)
    if (held) trained.set(id, tensor('f32', held.shape, asF32(held, key)))
  }
  for (const twin of layout.tensors) refuseParted(twin, trained, tensors.get(fileKey(twin.id)), file)
  const base = new Map<string, HostTensor>()
  for (const { module, parameter, key } of overrides) {
    const held = tensors.get(key)
    if (held) base.set(`${module}.${parameter}`, held)
  }
  return { trained, base }
}

/** PEFT loads a tied head's tensors over the embedding's: where they differ, what the adapter is depends on their order. */
function refuseParted(
  tensor: AdapterTensor,
  trained: ReadonlyMap<string, HostTensor>,
  held: HostTensor | undefined,
  file: string | undefined,
): void {
  if (!tensor.sameAs || !held) return
  const [own, shared] = [asF32(held, tensor.id), tensorValue(tensor, trained)]
  const values = shared && asF32(shared, tensor.sameAs)
  if (!values || own.every((value, i) => value === values[i] || Number.isNaN(value))) return
  const [key, other] = [fileKey(tensor.id), fileKey(tensor.sameAs)]
  throw new LowrankError('format', `${key} and ${other} are tied, but the file holds different values for them`, {
    file,
    field: key,
  })
}

/** A trained tensor's value; a twin's is another's, maybe transposed. */
export function tensorValue(
  { id, sameAs, transposed }: Pick<AdapterTensor, 'id' | 'sameAs' | 'transposed'>,
  values: ReadonlyMap<string, HostTensor>,
): HostTensor | undefined {
  const value = values.get(sameAs ?? id)
  return value && transposed ? transpose(value, id) : value
}

/** What PEFT's save_pretrained would write, by file key: each trained tensor, its twins, and frozen base tensors. */
export async function adapterTensorsToSave(
  layout: AdapterLayout,
  trained: ReadonlyMap<string, HostTensor>,
  base: ReadBase,
): Promise<Map<string, HostTensor>> {
  const out = new Map<string, HostTensor>()
  for (const tensor of layout.tensors) {
    const { id, role, source } = tensor
    const value = role === 'base' && source !== undefined ? await base(source) : tensorValue(tensor, trained)
    if (!value) throw new Error(`internal: the adapter's tensor ${id} has no value to save`)
    out.set(fileKey(id), value)
  }
  return out
}
