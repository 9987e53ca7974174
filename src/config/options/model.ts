/** @file Options that name a model and the adapters on it. Must not know what a verb does with them. */
import { z } from 'zod'
import { boolean, listOf, option, text } from '../option.ts'

const group = 'Model'
const modelText = 'a folder, lowrank-tiny, or a Hugging Face id'

export const modelOption = option(
  group,
  text('MODEL', modelText),
  'Base model: a folder, `lowrank-tiny` (embedded), or a Hugging Face id, from the local cache or downloaded into it.',
)

export const modelSource = {
  tokenizer: option(
    group,
    text('PATH', 'a folder or a tokenizer.json').optional(),
    'Tokenizer to use instead of the model’s own.',
    { defaultText: 'the model’s' },
  ),
  revision: option(
    group,
    text('REV', 'a branch, tag or commit').optional(),
    'Branch, tag or commit of a Hugging Face id.',
    {
      defaultText: 'main',
    },
  ),
  offline: option(group, boolean().default(false), 'Never use the network: only what the cache holds.'),
} as const

/** One adapter of several: PEFT folder, name by which requests choose it, and the weight of its update. */
const adapterSpec = z.union([
  z.string().min(1),
  z.strictObject({ path: z.string().min(1), name: z.string().min(1).optional(), weight: z.number().optional() }),
])

export type AdapterInput = z.input<typeof adapterSpec>

export const adaptersOption = option(
  group,
  listOf(adapterSpec, '[NAME=]PATH[:WEIGHT]', 'PATH or NAME=PATH[:WEIGHT]').optional(),
  'Adapter folder to put on the base; repeat it for several, each `name=PATH[:weight]`.',
)

/** An adapter with nothing left unsaid. */
export interface AdapterSpec {
  name: string
  path: string
  weight: number
}

/**
 * Reads `PATH`, `name=PATH`, `name=PATH:weight` or the object form. The name of a bare path is `default`, then
 * `adapter2`, `adapter3`, …; the weight is 1. A colon counts only before a number, so `C:\runs` stays a path.
 */
export function adapterSpecs(adapters: readonly AdapterInput[]): AdapterSpec[] {
  return adapters.map((adapter, index) => {
    const unnamed = index === 0 ? 'default' : `adapter${index + 1}`
    if (typeof adapter !== 'string')
      return { name: adapter.name ?? unnamed, path: adapter.path, weight: adapter.weight ?? 1 }
    const named = /^([A-Za-z0-9_.-]+)=(.+)$/s.exec(adapter)
    const rest = named?.[2] ?? adapter
    const weighted = named ? /^(.+):([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/is.exec(rest) : null
    return { name: named?.[1] ?? unnamed, path: weighted?.[1] ?? rest, weight: Number(weighted?.[2] ?? 1) }
  })
}
