/**
 * @file Adapters in PEFT's own form of a start that was taken out of the base (PiSSA, OLoRA, LoftQ): PEFT takes it out
 * again when it opens one. Here PiSSA and OLoRA become a plain LoRA of the untouched base, which is the same model;
 * LoftQ brings its quantised base along. Must not know verbs or engines.
 */
import { changesBase, type InitName, pissaIterations } from '../formats/lora-init.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import type { Model } from '../models/causal-lm.ts'
import type { LoadedTensors } from '../peft/adapter-tensors.ts'
import { plainConfig, plainValues } from '../peft/inits/plain-lora.ts'
import { type Factors, splitWeight } from '../peft/inits/split-weight.ts'
import { type AdapterLayout, layoutAdapter } from '../peft/layout.ts'
import { asF32 } from '../peft/low-rank-update.ts'
import { type HostTensor, type TypedTensor, tensor } from '../tensor/host-tensor.ts'
import { splitOptions, splitSites } from './train/first-values.ts'

export interface PlacedAdapter {
  readonly config: PeftLoraConfig
  readonly layout: AdapterLayout
  readonly loaded: LoadedTensors
  readonly notes: readonly string[]
}

/**
 * @param stored a base tensor in its own dtype, by the model's name
 * @returns the adapter as it stands where its start changed nothing
 */
export async function withTakenStart(
  model: Model,
  { config, layout, loaded }: Omit<PlacedAdapter, 'notes'>,
  stored: (name: string) => Promise<HostTensor>,
): Promise<PlacedAdapter> {
  const init = config.init_lora_weights
  if (!changesBase(init)) return { config, layout, loaded, notes: [] }
  const first = new Map<string, Factors>()
  const base = new Map(loaded.base)
  for (const { site, source } of splitSites({ model, layout, config })) {
    const found = splitWeight(site, await stored(source), splitOptions(config))
    first.set(site.path, { a: found.a, b: found.b })
    if (init === 'loftq') base.set(source, found.left)
  }
  if (init === 'loftq')
    return { config, layout, loaded: { ...loaded, base }, notes: ['loftq: it sits on the base as NF4 leaves it'] }
  const plain = plainConfig(config)
  const values = plainValues(layout, loaded.trained, first)
  return {
    config: plain,
    layout: layoutAdapter(model.modules, plain, { modelType: model.modelType, loaded: true }),
    loaded: { ...loaded, trained: asF32Map(values) },
    notes: [
      `${init}: its start is taken out of the base, so it is used as a plain LoRA of rank ${plain.r}`,
      ...sketchNotes(init),
    ],
  }
}

/** What to say of an adapter whose start was a sketch, where it is taken out again. */
export function sketchNotes(init: InitName): string[] {
  if (pissaIterations(init) === undefined) return []
  return [`${init}: its start was drawn at random; unless lowrank drew it, ours is near it and not equal`]
}

function asF32Map(values: ReadonlyMap<string, HostTensor>): Map<string, TypedTensor<'f32'>> {
  return new Map([...values].map(([id, value]) => [id, tensor('f32', value.shape, asF32(value, id))]))
}
