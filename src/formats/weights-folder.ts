/**
 * @file Finds every weight of a Hugging Face model folder, single or sharded, reading headers only.
 * Must not know model families. Layout: `model.safetensors`, or `model.safetensors.index.json` with its shards; of older
 * folders without them, `pytorch_model.bin` or its index.
 */
import { realpath } from 'node:fs/promises'
import { isAbsolute, join, normalize, sep } from 'node:path'
import { LowrankError } from '../support/errors.ts'
import { fileError, pathKind, readJson } from '../support/files.ts'
import { isRecord } from '../support/json.ts'
import type { DType } from '../tensor/dtype.ts'
import { isReadable, type ListedDType, type TensorEntry } from './safetensors.ts'
import { missingTensor, readSafetensorsHeader, refOf, type WeightRef } from './tensor-files.ts'
import { isTorchName, readTorchHeader, type TorchEntry, torchRef } from './torch-file.ts'

const SINGLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
/** Read where there is no safetensors file. */
export const TORCH_SINGLE = 'pytorch_model.bin'
export const TORCH_INDEX = 'pytorch_model.bin.index.json'

export interface Weights {
  /** Place of every tensor that lowrank can compute with, by its name in the files. Paths are real: no symlinks. */
  refs: Map<string, WeightRef>
  /** Tensors of other dtypes, listed only. */
  unreadable: Map<string, DType | ListedDType>
  /** The safetensors files, real paths. */
  files: string[]
  /** Place of one tensor. @throws {LowrankError} naming the nearest where it is missing, its dtype where unreadable. */
  ref(name: string): WeightRef
}

/** Lists the weights of a model folder. @throws {LowrankError} `missing`, `format`, `io`, naming the file. */
export async function openWeights(folder: string): Promise<Weights> {
  for (const [single, index] of [
    [SINGLE, INDEX],
    [TORCH_SINGLE, TORCH_INDEX],
  ] as const) {
    if ((await pathKind(join(folder, single))) === 'file') {
      const part = await openPart(join(folder, single))
      return collect(folder, [{ ...part, entries: part.entries.values() }])
    }
    if ((await pathKind(join(folder, index))) === 'file')
      return collect(folder, await openShards(folder, join(folder, index)))
  }
  throw await noWeights(folder)
}

/** A tensor of a file, and where it lies. */
interface Listing {
  readonly name: string
  readonly dtype: DType | ListedDType
  /** @throws {LowrankError} `unsupported` where lowrank cannot take it as it lies. */
  ref(): WeightRef
}

interface Part {
  /** Real path. */
  readonly file: string
  readonly entries: Iterable<Listing>
}

/** Opens a file by its listed name: behind a symlink it may have another. */
async function openPart(listed: string): Promise<{ file: string; entries: ReadonlyMap<string, Listing> }> {
  const file = await real(listed)
  const list = <T extends TensorEntry | TorchEntry>(
    entries: ReadonlyMap<string, T>,
    refOfEntry: (file: string, entry: T) => WeightRef,
  ): Map<string, Listing> =>
    new Map(
      Array.from(entries, ([name, entry]) => [name, { name, dtype: entry.dtype, ref: () => refOfEntry(file, entry) }]),
    )
  const entries = isTorchName(listed)
    ? list((await readTorchHeader(file)).entries, torchRef)
    : list((await readSafetensorsHeader(file)).entries, refOf)
  return { file, entries }
}

/** Places of all tensors of one safetensors or torch file. @throws {LowrankError} `missing`, `format`, `unsupported`. */
export async function readFileRefs(file: string): Promise<Map<string, WeightRef>> {
  const { entries } = await openPart(file)
  return new Map(Array.from(entries, ([name, entry]) => [name, entry.ref()]))
}

/** Lists the tensors of one safetensors or torch file. @throws {LowrankError} `missing`, `format`. */
export async function openFile(file: string): Promise<Weights> {
  const part = await openPart(file)
  return collect(file, [{ ...part, entries: part.entries.values() }])
}

function collect(folder: string, parts: Part[]): Weights {
  const refs = new Map<string, WeightRef>()
  const unreadable = new Map<string, Listing>()
  for (const { entries } of parts)
    for (const entry of entries) {
      if (isReadable(entry.dtype)) refs.set(entry.name, entry.ref())
      else unreadable.set(entry.name, entry)
    }
  const ref = (name: string): WeightRef => {
    const found = refs.get(name) ?? unreadable.get(name)?.ref()
    if (found !== undefined) return found
    throw missingTensor(name, folder, refs.keys())
  }
  return {
    refs,
    unreadable: new Map(Array.from(unreadable, ([name, entry]) => [name, entry.dtype])),
    files: parts.map((part) => part.file),
    ref,
  }
}

async function openShards(folder: string, index: string): Promise<Part[]> {
  const byShard = new Map<string, string[]>()
  for (const [name, shard] of parseWeightIndex(await readJson(index), index)) {
    const names = byShard.get(shard)
    if (names === undefined) byShard.set(shard, [name])
    else names.push(name)
  }
  const parts: Part[] = []
  for (const [shard, names] of [...byShard].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const listed = join(folder, shard)
    if ((await pathKind(listed)) !== 'file')
      throw new LowrankError('missing', `${index} names the shard ${shard}, which is not in ${folder}`, {
        file: listed,
      })
    const { file, entries } = await openPart(listed)
    const wanted = names.map((name) => {
      const entry = entries.get(name)
      if (entry === undefined) throw missingTensor(name, file, entries.keys())
      return entry
    })
    parts.push({ file, entries: wanted })
  }
  return parts
}

/** Tensor name → shard file of an index. A shard outside the folder is refused. @throws {LowrankError} `format`. */
export function parseWeightIndex(json: unknown, file: string): Map<string, string> {
  const map = isRecord(json) ? json.weight_map : undefined
  if (!isRecord(map))
    throw new LowrankError('format', `${file} has no weight_map object`, { file, field: 'weight_map' })
  const found = new Map<string, string>()
  for (const [name, shard] of Object.entries(map)) {
    const bad = (problem: string): LowrankError =>
      new LowrankError('format', `${file} puts tensor ${name} in ${JSON.stringify(shard)}, ${problem}`, {
        file,
        field: name,
      })
    if (typeof shard !== 'string') throw bad('which is not a file name')
    const path = normalize(shard)
    if (isAbsolute(path) || path.split(sep).includes('..') || /[\0\\]/.test(shard))
      throw bad('outside the model folder')
    const ending = file.endsWith(TORCH_INDEX) ? '.bin' : '.safetensors'
    if (!shard.endsWith(ending)) throw bad(`which is not a ${ending} file`)
    found.set(name, path)
  }
  return found
}

async function noWeights(folder: string): Promise<LowrankError> {
  if ((await pathKind(folder)) !== 'folder')
    return new LowrankError('missing', `there is no model folder ${folder}`, { file: folder })
  return new LowrankError('missing', `${folder} has no ${SINGLE}, no ${INDEX} and no ${TORCH_SINGLE}`, { file: folder })
}

async function real(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    throw fileError(error, path, 'read')
  }
}
