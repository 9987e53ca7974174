/**
 * @file Finds models in a cache of Hugging Face layout: `models--owner--name/{blobs, refs, snapshots, .no_exist}`.
 * Must not know the network. Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ADAPTER_CONFIG } from '../formats/adapter-config.ts'
import { COMPANION_FILES } from '../formats/model-files.ts'
import { ADAPTER_TENSORS, ADAPTER_TORCH } from '../formats/peft-folder.ts'
import { parseWeightIndex, TORCH_INDEX, TORCH_SINGLE } from '../formats/weights-folder.ts'
import { fileError, pathKind, readBounded, readJson, systemCode } from '../support/files.ts'

/** Files beside the weights that are used where a repository has them. */
export const SMALL_FILES = ['config.json', ...COMPANION_FILES, 'chat_template.json', ADAPTER_CONFIG] as const
/** Weights in one file (of a model, of an adapter), and the index of those in several. */
export interface WeightNames {
  readonly whole: readonly string[]
  readonly index: string
}
/** In the order of preference: old torch files are taken where there is nothing else. */
export const WEIGHTS: readonly WeightNames[] = [
  { whole: ['model.safetensors', ADAPTER_TENSORS], index: 'model.safetensors.index.json' },
  { whole: [TORCH_SINGLE, ADAPTER_TORCH], index: TORCH_INDEX },
]

const COMMIT = /^[0-9a-f]{40}$/

export interface Snapshot {
  folder: string
  commit: string
  /** Everything of it that lowrank would use is there; otherwise only the weights and a configuration are. */
  complete: boolean
}

/** Folder of one repository in the cache. */
export function repositoryFolder(cache: string, id: string): string {
  return join(cache, `models--${id.replaceAll('/', '--')}`)
}

/** Ids in the cache, for "did you mean". */
export async function cachedIds(cache: string): Promise<string[]> {
  try {
    const names = await readdir(cache)
    return names.filter((name) => name.startsWith('models--')).map((name) => name.slice(8).replaceAll('--', '/'))
  } catch {
    return []
  }
}

/** The snapshot of a revision (branch, tag or commit) that has a configuration and all its weights, or undefined. */
export async function findSnapshot(cache: string, id: string, revision: string): Promise<Snapshot | undefined> {
  const repository = repositoryFolder(cache, id)
  const commit = COMMIT.test(revision) ? revision : await readRef(join(repository, 'refs', revision))
  if (commit === undefined) return undefined
  const folder = join(repository, 'snapshots', commit)
  if (!(await hasWeights(folder))) return undefined
  return { folder, commit, complete: await isComplete(folder, join(repository, '.no_exist', commit)) }
}

async function readRef(file: string): Promise<string | undefined> {
  if ((await pathKind(file)) !== 'file') return undefined
  const commit = Buffer.from(await readBounded(file, 200))
    .toString('utf8')
    .trim()
  return COMMIT.test(commit) ? commit : undefined
}

async function hasWeights(folder: string): Promise<boolean> {
  const has = async (name: string): Promise<boolean> => (await pathKind(join(folder, name))) === 'file'
  if (await has(ADAPTER_CONFIG)) return (await has(ADAPTER_TENSORS)) || (await has(ADAPTER_TORCH))
  if (!(await has('config.json'))) return false
  for (const { whole, index } of WEIGHTS) {
    for (const name of whole) if (await has(name)) return true
    if (!(await has(index))) continue
    const file = join(folder, index)
    const shards = [...new Set(parseWeightIndex(await readJson(file), file).values())]
    if ((await Promise.all(shards.map(has))).every((there) => there)) return true
  }
  return false
}

/** Each small file is there, or known not to exist in the repository (huggingface_hub notes that as an empty file). */
async function isComplete(folder: string, absent: string): Promise<boolean> {
  const names = new Set([...(await list(folder)), ...(await list(absent))])
  if (names.has(ADAPTER_CONFIG) && (names.has(ADAPTER_TENSORS) || names.has(ADAPTER_TORCH))) return true
  return ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'].every((name) => names.has(name))
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw fileError(error, folder, 'list')
  }
}
