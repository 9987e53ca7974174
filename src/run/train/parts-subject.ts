/**
 * @file What a run trains whose method sits in an encoder: bottlenecks, or parts of the model as they are; its first
 * values, and how it is written. Must not know data, the loop or terminals.
 */
import { kebab } from '../../config/option.ts'
import { bottleneckOnly, fullOnly, loraOnly, ownWeightsOnly } from '../../config/verbs/train.ts'
import type { WeightRef } from '../../engine/engine.ts'
import type { HeadSpec } from '../../formats/task.ts'
import { type BottleneckConfig, bottleneckConfig, startBottleneck } from '../../peft/bottleneck.ts'
import {
  isBottleneck,
  layoutParts,
  PARTS_METHODS,
  type PartsLayout,
  type PartsMethod,
} from '../../peft/parts-layout.ts'
import { LowrankError } from '../../support/errors.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { priorWeights } from '../../train/prior.ts'
import { openModel } from '../open-model.ts'
import { notEncoder, readPartsAdapter, writePartsAdapter } from '../parts-adapter.ts'
import { groupRuleOf, looksBack, redrawn } from './few-sample.ts'
import type { TrainSettings } from './settings.ts'
import {
  countParameters,
  freshNotes,
  freshWeights,
  type Subject,
  trainedOf,
  weightReader,
  withNewHead,
} from './subject-base.ts'

export function isPartsMethod(method: string): method is PartsMethod {
  return PARTS_METHODS.some((one) => one === method)
}

/** @throws LowrankError `unsupported` for a decoder, `config` for layers there are not, `usage` for flags an adapter contradicts */
export async function partsSubject(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  folder: string,
  head: HeadSpec,
): Promise<Subject> {
  const open = await openModel(folder, head, settings.newHead)
  const { model } = open
  const { adapter } = settings
  const headed = (tensors: ReadonlyMap<string, HostTensor>): ReadonlyMap<string, HostTensor> =>
    withNewHead(tensors, open, settings)
  const brought =
    adapter === undefined ? undefined : await readPartsAdapter(model, adapter, settings.adapterInitStd, headed)
  const method = brought ? brought.method : settings.method
  if (method === undefined || !isPartsMethod(method)) throw noMethod(adapter ?? '')
  if (model.sublayers.length === 0) throw notEncoder(model.modelType, method)
  const layout = brought?.layout ?? newLayout(open, method, settings)
  const effective = brought ? settingsOfParts(settings, given, { method, layout }) : settings
  const own = new Set(layout.tensors.map(({ id }) => id))
  const weights = new Map<string, WeightRef | HostTensor>([...open.weights, ...freshWeights(open, settings)])
  const base = weightReader(weights)
  const anew = redrawn(effective, model)
  const start = async (): Promise<ReadonlyMap<string, HostTensor>> => {
    const values = new Map<string, HostTensor>(startOf(layout, effective))
    for (const { id, role } of layout.tensors) {
      const held = anew.values.get(id) ?? brought?.values.get(id)
      if (held) values.set(id, held)
      else if (role !== 'own') values.set(id, await base(id))
    }
    return values
  }
  const brings = (path: string): boolean => [...(brought?.values.keys() ?? [])].some((id) => id.startsWith(`${path}.`))
  const frozen = [...weights].filter(([name]) => !own.has(name))
  const ofModel = layout.tensors.filter(({ role }) => role !== 'own')
  const prior = looksBack(effective) ? priorWeights(ofModel, await start()) : []
  return {
    trained: trainedOf(model, layout, 0, true, groupRuleOf(effective, model)),
    settings: effective,
    folder,
    weights: new Map<string, WeightRef | HostTensor>([...frozen, ...prior]),
    start,
    write: async (target, values) =>
      await writePartsAdapter(target, { model, method, layout, base: settings.model ?? null }, values),
    parameters: countParameters(model),
    notes: [...(brought?.warnings ?? []), ...freshNotes(open, settings, brings), ...anew.notes],
  }
}

function newLayout(
  { model }: Pick<Awaited<ReturnType<typeof openModel>>, 'model'>,
  method: PartsMethod,
  { bottleneck: size, adapterInitStd: deviation, adapterDrop = [] }: TrainSettings,
): PartsLayout {
  if (!isBottleneck(method)) return layoutParts(model, method)
  return layoutParts(model, method, bottleneckConfig(method, { size, deviation, leaveOut: adapterDrop }))
}

function startOf({ bottlenecks }: PartsLayout, settings: TrainSettings): [string, HostTensor][] {
  const seed = settings.initSeed ?? settings.seed
  return (bottlenecks?.sites ?? []).flatMap((site) =>
    bottlenecks ? [...startBottleneck(site, bottlenecks.config, seed)] : [],
  )
}

/** The settings with what the adapter says. @throws LowrankError `usage` for a flag that says otherwise */
function settingsOfParts(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  { method, layout }: { method: PartsMethod; layout: PartsLayout },
): TrainSettings {
  const config = layout.bottlenecks?.config
  const leaveOut = config && config.leaveOut.length > 0 ? [...config.leaveOut] : undefined
  const held = { method, ...(config ? { bottleneck: usualSize(config), adapterDrop: leaveOut } : {}) }
  for (const [name, has] of Object.entries(held)) {
    const asked = settings[name as keyof typeof held]
    if (!given.has(name) || JSON.stringify(asked) === JSON.stringify(has)) continue
    throw contradicts(name, JSON.stringify(asked), JSON.stringify(has) ?? 'nothing', settings.adapter)
  }
  if (given.has('adapterInitStd') && !settings.resume)
    throw contradicts('adapterInitStd', 'first values', 'its own', settings.adapter)
  for (const name of loraOnly)
    if (given.has(name)) throw contradicts(name, 'a LoRA', JSON.stringify(method), settings.adapter)
  for (const name of fullOnly.filter((one) => asks(settings, one)))
    throw contradicts(name, 'trained layers', JSON.stringify(method), settings.adapter)
  return { ...settings, ...held }
}

/** The one size that a run's settings can say, where the adapter has sizes by layer too. */
function usualSize({ size, sizes }: BottleneckConfig): number {
  return size > 0 ? size : Math.max(1, ...(sizes?.values() ?? []))
}

/** `--method` and the adapter that a run starts from differ. */
export function otherMethod({ method, adapter }: TrainSettings, has: string): LowrankError {
  return contradicts('method', method, has, adapter)
}

/** Whether an option of few-sample fine-tuning is on. */
function asks(settings: Readonly<Record<string, unknown>>, name: string): boolean {
  return settings[name] === true || Number(settings[name]) > 0
}

/** Settings of a bottleneck, or of weights of the model itself, given where the adapter that a run starts from is a LoRA. */
export function refuseBottleneck(settings: TrainSettings, given: ReadonlySet<string>): void {
  const { adapter } = settings
  for (const name of bottleneckOnly) if (given.has(name)) throw contradicts(name, 'a bottleneck', 'lora', adapter)
  for (const name of [...fullOnly, ...ownWeightsOnly].filter((one) => asks(settings, one)))
    throw contradicts(name, 'trained weights of the model itself', 'lora', adapter)
}

function contradicts(name: string, asked: string, has: string, adapter = ''): LowrankError {
  return new LowrankError('usage', `--${kebab(name)} asks for ${asked}, but the adapter in ${adapter} has ${has}`, {
    file: adapter,
    field: kebab(name),
    suggestion: 'leave the flag out: the adapter brings its own settings',
  })
}

function noMethod(adapter: string): LowrankError {
  const message = `${adapter}: its adapters sit or read elsewhere than houlsby's, pfeiffer's and parallel ones do`
  return new LowrankError('unsupported', `${message}, and lowrank does not train on from there`, {
    ...{ file: adapter, field: 'original_ln_before', suggestion: 'use it as it is, or start anew with one of them' },
  })
}
