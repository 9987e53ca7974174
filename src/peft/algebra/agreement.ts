/**
 * @file What several adapters must have in common to become one, and what the config of the one says.
 * Must not know matrices or files.
 */
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import { LowrankError } from '../../support/errors.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { asF32 } from '../low-rank-update.ts'
import { freshFields, namedInFull, type Updates } from './updates.ts'

/** Fields by which an adapter acts in another way than s·B·A at its modules: all must have one value. */
const SAME = ['alora_invocation_tokens', 'layer_replication'] as const

/** Fields that say which modules have an update. */
const TARGETING = ['target_modules', 'exclude_modules', 'layers_to_transform', 'layers_pattern'] as const

export interface Agreement {
  readonly config: PeftLoraConfig
  readonly notes: readonly string[]
}

/** @throws LowrankError `config` naming the two adapters and the field */
export function agreedConfig(all: readonly Updates[], base: string | undefined): Agreement {
  const [first, ...others] = all
  if (!first) throw new LowrankError('usage', 'there is no adapter to combine', { field: 'adapter' })
  for (const other of others) {
    for (const field of SAME) if (!equal(first.config[field], other.config[field])) throw differ(first, other, field)
    if (base === undefined) checkBase(first, other)
  }
  const notes: string[] = []
  const tasks = new Set(all.map(({ config }) => config.task_type))
  if (tasks.size > 1)
    notes.push(`the adapters name different tasks (${[...tasks].join(', ')}): the first one's is written`)
  const named = all.map(({ config }) => config.base_model_name_or_path).find((name) => name !== null)
  return {
    config: {
      ...first.config,
      base_model_name_or_path: base ?? named ?? null,
      ...targeting(all),
      fan_in_fan_out: all.some(({ config }) => config.fan_in_fan_out),
      ...freshFields(all),
    },
    notes,
  }
}

function checkBase(first: Updates, other: Updates): void {
  const [one, two] = [first.config.base_model_name_or_path, other.config.base_model_name_or_path]
  if (one === null || two === null || normalized(one) === normalized(two)) return
  throw new LowrankError(
    'config',
    `${first.name} was made for ${one} and ${other.name} for ${two}: updates of different bases cannot be combined`,
    {
      file: other.name,
      field: 'base_model_name_or_path',
      suggestion: 'if it is one base under two names, name it with --model',
    },
  )
}

const normalized = (name: string): string => name.replace(/^\.\//, '').replace(/\/+$/, '')

/** Lists of names are united; anything else that differs becomes the list of every module by its full name. */
function targeting(all: readonly Updates[]): Partial<PeftLoraConfig> {
  const [first] = all
  const rest = TARGETING.slice(1)
  const plain = all.every(({ config }) => rest.every((field) => equal(config[field], first?.config[field])))
  if (plain) {
    const targets = all.map(({ config }) => config.target_modules)
    if (targets.every((value) => equal(value, targets[0]))) return {}
    const unrestricted = rest.every((field) => empty(first?.config[field]))
    if (unrestricted && targets.every((value) => Array.isArray(value)))
      return { target_modules: [...new Set(targets.flatMap((value) => value ?? []))] }
  }
  return namedInFull(all.flatMap(({ sites }) => [...sites.keys()]))
}

const empty = (value: unknown): boolean =>
  value === null || value === undefined || (Array.isArray(value) && value.length === 0)

function equal(a: unknown, b: unknown): boolean {
  const sorted = (value: unknown): unknown =>
    Array.isArray(value) && value.every((item) => typeof item === 'string') ? [...value].sort() : value
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
}

function differ(first: Updates, other: Updates, field: keyof PeftLoraConfig): LowrankError {
  const values = `${JSON.stringify(first.config[field])} in ${first.name}, ${JSON.stringify(other.config[field])} in ${other.name}`
  return new LowrankError('config', `${field} differs: ${values}`, { file: other.name, field })
}

/** Fields that say what stands beside the updates. */
const BESIDE = ['modules_to_save', 'bias', 'trainable_token_indices'] as const

/**
 * What stands beside the updates is no update: it has no weight. One adapter may bring it, or several the same.
 * @throws LowrankError `config` naming the tensor that two adapters hold with different values
 */
export function agreedRest(all: readonly Updates[]): {
  tensors: Map<string, HostTensor>
  config: Pick<PeftLoraConfig, (typeof BESIDE)[number]>
  notes: readonly string[]
} {
  const tensors = new Map<string, HostTensor>()
  const holders = new Map<string, Updates[]>()
  for (const updates of all)
    for (const [id, tensor] of updates.rest) {
      const [first] = holders.get(id) ?? []
      const held = tensors.get(id)
      if (first && held && !same(tensor, held))
        throw new LowrankError(
          'config',
          `${first.name} and ${updates.name} both hold ${id}, with different values: trained whole, it cannot be weighed`,
          { file: updates.name, field: id },
        )
      holders.set(id, [...(holders.get(id) ?? []), updates])
      tensors.set(id, tensor)
    }
  const lone = [...holders].filter(([, held]) => held.length < all.length)
  const names = new Set(lone.flatMap(([, held]) => held.map(({ name }) => name)))
  const notes =
    lone.length === 0
      ? []
      : [`${lone.length} tensors beside the updates are taken whole from ${[...names].join(', ')}: they have no weight`]
  return {
    tensors,
    config: besideFields(
      all.filter(({ rest }) => rest.size > 0),
      all[0],
    ),
    notes,
  }
}

function besideFields(
  owners: readonly Updates[],
  first: Updates | undefined,
): Pick<PeftLoraConfig, (typeof BESIDE)[number]> {
  const configs = owners.map(({ config }) => config)
  const saved = [...new Set(configs.flatMap(({ modules_to_save }) => modules_to_save ?? []))]
  const biases = configs.map(({ bias }) => bias).filter((bias) => bias !== 'none')
  const tokens = owners.filter(({ config }) => config.trainable_token_indices !== null)
  const [one, other] = tokens
  if (one && other && !equal(one.config.trainable_token_indices, other.config.trainable_token_indices))
    throw differ(one, other, 'trainable_token_indices')
  return {
    modules_to_save: saved.length > 0 ? saved : first?.config.modules_to_save?.length === 0 ? [] : null,
    bias: biases.includes('all') ? 'all' : (biases[0] ?? 'none'),
    trainable_token_indices: one?.config.trainable_token_indices ?? null,
  }
}

function same(a: HostTensor, b: HostTensor): boolean {
  if (String(a.shape) !== String(b.shape)) return false
  const [x, y] = [asF32(a, ''), asF32(b, '')]
  return x.every((value, i) => value === y[i])
}
