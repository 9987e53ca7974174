/**
 * @file Which tensors of a base change when adapters are merged into it, and how: low-rank updates, trained biases,
 * whole modules, token rows, and heads that can no longer share the embedding's weight.
 * Must not know files or graphs.
 */
import type { ModuleInfo } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import type { AdapterLayout, AdapterTensor } from './adapter-layout.ts'
import { tensorValue } from './adapter-tensors.ts'
import { asF32, storeLike } from './low-rank-update.ts'
import { checkFinite, mergeBias, mergeSite, replaceRows, type SiteUpdate } from './merge.ts'
import { idAt } from './method.ts'

/** An adapter to merge. */
export interface MergeAdapter {
  readonly name: string
  readonly layout: Pick<AdapterLayout, 'sites' | 'tensors' | 'tokens' | 'invocation' | 'tiesHeads' | 'bottlenecks'>
  /** Its trained tensors by id. */
  readonly values: ReadonlyMap<string, HostTensor>
  /** Multiplies the scale of its updates; what it replaces (modules_to_save, biases, tokens) is taken as it is. @default 1 */
  readonly weight?: number
}

export interface MergedTensor {
  /** Hugging Face name in the merged model. */
  readonly name: string
  /** Name of the base tensor that `compute` is given: another one when a tied head is written apart. */
  readonly source: string
  /** The merged tensor, in the base tensor's dtype. @throws LowrankError `numeric`, `format` */
  compute(base: HostTensor): HostTensor
}

export interface MergePlan {
  /** Tensors that change. Every other tensor of the base is copied as it stands. */
  readonly tensors: readonly MergedTensor[]
  /** Tied modules whose weight now differs: they are among `tensors`, and the config must say tie_word_embeddings false. */
  readonly untied: readonly string[]
}

/**
 * Plans a merge without reading a base tensor.
 * @throws LowrankError `config` when two adapters replace the same tensor, or a bias on B has no bias to go to;
 * `unsupported` for an adapter that acts on some tokens only.
 */
export function planMerge(modules: readonly ModuleInfo[], adapters: readonly MergeAdapter[]): MergePlan {
  for (const { name, layout } of adapters) {
    if (layout.invocation) throw cannotMerge(name)
    if (layout.bottlenecks) throw bottlenecksStay(name)
  }
  const tensors: MergedTensor[] = []
  const untied: string[] = []
  const byPath = new Map(modules.map((module) => [module.path, module]))
  for (const module of modules) {
    const embedding = module.tiedTo === undefined ? undefined : byPath.get(module.tiedTo)
    const apart = embedding !== undefined && parts(module, embedding, adapters)
    if (apart) untied.push(module.path)
    for (const { name } of module.parameters)
      tensors.push(...mergedParameter(module, name, adapters, name === 'weight' && apart))
  }
  return { tensors, untied }
}

function cannotMerge(adapter: string): LowrankError {
  const field = 'alora_invocation_tokens'
  const why = 'it acts from its invocation tokens on, and a merged weight would act on every token'
  return new LowrankError('unsupported', `adapter ${adapter} (${field}) cannot be merged: ${why}`, {
    field,
    suggestion: 'use the adapter unmerged',
  })
}

function bottlenecksStay(adapter: string): LowrankError {
  const why = 'they are layers of their own, with an activation between, which no weight of the base can hold'
  return new LowrankError('unsupported', `adapter ${adapter}: bottlenecks cannot be merged: ${why}`, {
    field: 'method',
    suggestion: 'use the adapter unmerged',
  })
}

/** Whether a tied head and its embedding end up with different weights. */
function parts(head: ModuleInfo, embedding: ModuleInfo, adapters: readonly MergeAdapter[]): boolean {
  return adapters.some(({ layout }) => {
    if (layout.tiesHeads) return false
    const changed = layout.tensors.some(
      (t) =>
        (t.module === head.path || t.module === embedding.path) &&
        t.trained &&
        t.role !== 'tokens' &&
        t.role !== 'bias',
    )
    const rows = layout.tokens.filter((token) => token.module === head.path || token.module === embedding.path)
    return changed || rows.some((token) => !token.tied.includes(head.path))
  })
}

/** @param apart a tied head's weight that must be written on its own, changed or not */
function mergedParameter(
  module: ModuleInfo,
  parameter: string,
  adapters: readonly MergeAdapter[],
  apart: boolean,
): MergedTensor[] {
  const isWeight = parameter === 'weight'
  const { path, tiedTo } = module
  if (isWeight && tiedTo !== undefined && !apart) return [] // the embedding's is the head's
  const updates = adapters.flatMap((adapter) => updateAt(module, adapter))
  if (isWeight && !module.parameters.some(({ name }) => name === 'bias')) mergeBias({ path }, updates, 1) // refuses lora_bias
  const replacement = replacementOf(module, parameter, adapters)
  const rows = isWeight ? rowsAt(module, adapters, apart) : []
  const touched = isWeight ? updates.length > 0 : updates.some((update) => update.bBias)
  if (!apart && !replacement && rows.length === 0 && !touched) return []
  const name = `${path}.${parameter}`
  const compute = (base: HostTensor): HostTensor => {
    let value = replacement ? replaceWhole(base, replacement, name) : base
    for (const { indices, values } of rows) value = replaceRows(value, indices, values, name)
    if (!touched) return value
    if (!isWeight) return mergeBias({ path, bias: value }, updates, 1) ?? value
    return mergeSite({ path, kind: siteKind(module), weight: value }, updates.map(withoutBias)).weight
  }
  return [{ name, source: `${isWeight ? (tiedTo ?? path) : path}.${parameter}`, compute }]
}

function updateAt(module: ModuleInfo, { name, layout, values, weight = 1 }: MergeAdapter): SiteUpdate[] {
  const site = layout.sites.find(({ path }) => path === module.path)
  if (!site) return []
  const update = site.method.update?.(site, (short) => {
    const id = idAt(site, short)
    return tensorOf(values, layout.tensors.find((tensor) => tensor.id === id) ?? { id }, name)
  })
  if (!update)
    throw new LowrankError('unsupported', `adapter ${name}: ${site.method.type} cannot be merged into a base`, {
      field: 'peft_type',
    })
  return [{ ...update, adapter: name, scale: update.scale * weight }]
}

const withoutBias = ({ bBias: _, ...update }: SiteUpdate): SiteUpdate => update

function siteKind({ kind, path }: ModuleInfo): 'linear' | 'conv1d' | 'embedding' {
  if (kind === 'linear' || kind === 'conv1d' || kind === 'embedding') return kind
  throw new Error(`internal: an update sits on ${path}, which is ${kind}`)
}

interface Replacement {
  readonly adapter: string
  readonly tensor: AdapterTensor
  readonly value: HostTensor
}

/** The trained copy of a base parameter, of which there can be one. */
function replacementOf(
  module: ModuleInfo,
  parameter: string,
  adapters: readonly MergeAdapter[],
): Replacement | undefined {
  const found = adapters.flatMap(({ name, layout, values }) =>
    layout.tensors
      .filter(
        (t) => t.module === module.path && t.parameter === parameter && t.trained && (!t.sameAs || layout.tiesHeads),
      )
      .filter((t) => t.role === 'saved' || t.role === 'bias')
      .filter((t, i, all) => all.findIndex(({ parameter }) => parameter === t.parameter) === i)
      .map((tensor) => ({ adapter: name, tensor, value: tensorOf(values, tensor, name) })),
  )
  const [first, second] = found
  if (first && second)
    throw new LowrankError(
      'config',
      `${module.path}.${parameter} is replaced by two adapters, ${first.adapter} and ${second.adapter}: they cannot be merged together`,
      { field: first.tensor.role === 'bias' ? 'bias' : 'modules_to_save' },
    )
  return first
}

function replaceWhole(base: HostTensor, { adapter, value }: Replacement, name: string): HostTensor {
  if (String(base.shape) !== String(value.shape))
    throw new LowrankError('format', `${name} is [${base.shape}], but adapter ${adapter} holds [${value.shape}]`, {
      field: name,
    })
  const stored = storeLike(base, asF32(value, name).slice())
  checkFinite(stored, base, name, [{ adapter }])
  return stored
}

function rowsAt(
  module: ModuleInfo,
  adapters: readonly MergeAdapter[],
  apart: boolean,
): { indices: readonly number[]; values: HostTensor }[] {
  const taken = new Map<number, string>()
  return adapters.flatMap(({ name, layout, values }) =>
    layout.tokens
      .filter((token) => token.module === module.path || (apart && token.tied.includes(module.path)))
      .map(({ indices, id }) => {
        for (const index of indices) {
          const other = taken.get(index)
          if (other !== undefined)
            throw new LowrankError(
              'config',
              `trainable_token_indices: adapters ${other} and ${name} both replace token ${index} of ${module.path}`,
              { field: 'trainable_token_indices' },
            )
          taken.set(index, name)
        }
        return { indices, values: tensorOf(values, { id }, name) }
      }),
  )
}

function tensorOf(
  values: ReadonlyMap<string, HostTensor>,
  tensor: Pick<AdapterTensor, 'id' | 'sameAs' | 'transposed'>,
  adapter: string,
): HostTensor {
  const value = tensorValue(tensor, values)
  if (!value) throw new LowrankError('missing', `adapter ${adapter} has no tensor ${tensor.id}`, { field: tensor.id })
  return value
}
