/**
 * @file Finds every weight of a Hugging Face model folder, single or sharded, reading headers only.
 * Must not know model families. Layout: `model.safetensors`, or `model.safetensors.index.json` with its shards.
 */
import { realpath } from 'node:fs/promises'
import { isAbsolute, join, normalize, sep } from 'node:path'
import { LowrankError } from '../support/errors.ts'
import { fileError, pathKind, readJson } from '../support/files.ts'
import { isRecord } from '../support/json.ts'
import type { DType } from '../tensor/dtype.ts'
import { isReadable, type ListedDType, type TensorEntry } from './safetensors.ts'
import { missingTensor, readSafetensorsHeader, refOf, type WeightRef } from './tensor-files.ts'

const SINGLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
const TORCH = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'model.pt', 'consolidated.00.pth']

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
  const single = join(folder, SINGLE)
  const index = join(folder, INDEX)
  if ((await pathKind(single)) === 'file') {
    const file = await real(single)
    return collect(folder, [{ file, entries: (await readSafetensorsHeader(file)).entries.values() }])
  }
  if ((await pathKind(index)) === 'file') return collect(folder, await openShards(folder, index))
  throw await noWeights(folder)
}

interface Part {
  file: string
  entries: Iterable<TensorEntry>
}

function collect(folder: string, parts: Part[]): Weights {
  const refs = new Map<string, WeightRef>()
  const unreadable = new Map<string, TensorEntry & { file: string }>()
  for (const { file, entries } of parts)
    for (const entry of entries) {
      if (isReadable(entry.dtype)) refs.set(entry.name, refOf(file, entry))
      else unreadable.set(entry.name, { ...entry, file })
    }
  const ref = (name: string): WeightRef => {
    const found = refs.get(name)
    if (found !== undefined) return found
    const odd = unreadable.get(name)
    if (odd !== undefined) return refOf(odd.file, odd)
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
    const file = await real(listed)
    const { entries } = await readSafetensorsHeader(file)
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
    if (!shard.endsWith('.safetensors')) throw bad('which is not a safetensors file')
    found.set(name, path)
  }
  return found
}

async function noWeights(folder: string): Promise<LowrankError> {
  if ((await pathKind(folder)) !== 'folder')
    return new LowrankError('missing', `there is no model folder ${folder}`, { file: folder })
  for (const name of TORCH)
    if ((await pathKind(join(folder, name))) !== undefined)
      return new LowrankError(
        'unsupported',
        `${join(folder, name)} is a torch file, which can run code; lowrank reads safetensors`,
        {
          file: join(folder, name),
          suggestion: 'save the model with save_pretrained(…, safe_serialization=True)',
        },
      )
  return new LowrankError('missing', `${folder} has no ${SINGLE} and no ${INDEX}`, { file: folder })
}

async function real(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    throw fileError(error, path, 'read')
  }
}
