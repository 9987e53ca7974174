/**
 * @file A model whose stack is rebuilt from ranges of its layers (`layer_replication`), each copy with its own name and
 * the weights of the layer it is a copy of. As PEFT's `replicate_layers` (peft/tuners/tuners_utils.py 0.21), but every
 * copy also sees what its original sees. Must not know adapters, training or engines.
 */
import { parseHfConfig } from '../formats/hf-config.ts'
import { LowrankError } from '../support/errors.ts'
import type { Model } from './model.ts'
import { modelOf } from './registry.ts'

export type LayerRanges = readonly (readonly [from: number, to: number])[]

export interface Replicated {
  readonly model: Model
  readonly ranges: LayerRanges
  /** Tensors of the original's files under every name that a copy has for them. */
  expand<T>(tensors: ReadonlyMap<string, T>): Map<string, T>
}

const FIELD = 'layer_replication'
/** Where PEFT finds the stack: Llama's place for it, or Bert's. */
const STACK = /^(model\.layers|bert\.encoder\.layer)\.(\d+)\./

/**
 * Rebuilds a model's stack.
 * @throws LowrankError `config` for layers the model does not have; `unsupported` for a family whose stack PEFT does not
 * find, or whose layers differ by their number alone
 */
export function replicateLayers(model: Model, ranges: LayerRanges): Replicated {
  const stack = stackOf(model)
  const order = ranges.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i))
  const { layers } = model.config
  const beyond = order.find((layer) => layer >= layers)
  if (beyond !== undefined || order.length === 0)
    throw new LowrankError('config', `${FIELD}: ${JSON.stringify(ranges)} on a model of layers 0 to ${layers - 1}`, {
      field: FIELD,
    })
  const raw = parseHfConfig(configOf(model, order), model.raw.file)
  const replicated = modelOf(raw, model.spec)
  refuseUnlike(model, replicated, stack, order)
  return { model: replicated, ranges, expand: (tensors) => expand(tensors, stack, model.prefix, order) }
}

function stackOf(model: Model): string {
  const found = model.modules.flatMap(({ path }) => STACK.exec(path)?.[1] ?? [])[0]
  if (found !== undefined) return found
  throw new LowrankError(
    'unsupported',
    `${FIELD}: PEFT rebuilds stacks laid out as Llama's or Bert's, not ${model.modelType}'s`,
    {
      field: FIELD,
    },
  )
}

/** config.json of the replicated model: more layers, each with the kind of its original. */
function configOf({ raw, modelType }: Model, order: readonly number[]): Record<string, unknown> {
  const json: Record<string, unknown> = { ...raw.json(), num_hidden_layers: order.length }
  const kinds = json.layer_types
  if (Array.isArray(kinds)) return { ...json, layer_types: order.map((layer): unknown => kinds[layer]) }
  if (modelType === 'gemma2' || modelType === 'gemma3_text' || json.use_sliding_window === true)
    throw new LowrankError(
      'unsupported',
      `${raw.file}: ${FIELD} needs layer_types there: which layers see a window would follow their new numbers`,
      {
        file: raw.file,
        field: 'layer_types',
      },
    )
  return json
}

/** A copy must hold what its original holds: some families leave out or resize tensors by the layer's number. */
function refuseUnlike(model: Model, replicated: Model, stack: string, order: readonly number[]): void {
  const held = (of: Model, layer: number): string => {
    const prefix = `${stack}.${layer}.`
    const inside = of.modules.filter(({ path }) => path.startsWith(prefix))
    return JSON.stringify(inside.map(({ path, parameters }) => [path.slice(prefix.length), parameters]))
  }
  const unlike = order.findIndex((layer, copy) => held(model, layer) !== held(replicated, copy))
  if (unlike < 0) return
  throw new LowrankError(
    'unsupported',
    `${FIELD}: ${model.modelType} makes layer ${unlike} another than layer ${order[unlike]}, of which it would be a copy`,
    {
      field: FIELD,
    },
  )
}

/** Files may leave out the prefix that transformers calls the base model's. */
function expand<T>(
  tensors: ReadonlyMap<string, T>,
  stack: string,
  prefix: string,
  order: readonly number[],
): Map<string, T> {
  const spellings = [stack, ...(stack.startsWith(`${prefix}.`) ? [stack.slice(prefix.length + 1)] : [])]
  const out = new Map<string, T>()
  for (const [name, tensor] of tensors) {
    const spelling = spellings.find((one) => name.startsWith(`${one}.`))
    const rest = spelling === undefined ? undefined : /^(\d+)\.(.*)$/s.exec(name.slice(spelling.length + 1))
    if (!rest) out.set(name, tensor)
    for (const [copy, layer] of order.entries())
      if (rest && Number(rest[1]) === layer) out.set(`${spelling}.${copy}.${rest[2]}`, tensor)
  }
  return out
}
