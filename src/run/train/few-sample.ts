/**
 * @file What the options of few-sample fine-tuning (docs/few-sample.md) make of what is trained: rates and decays by
 * tensor, tensors drawn anew, mixout. Must not know data, the loop or terminals.
 */
import { kebab } from '../../config/option.ts'
import { recipeValues } from '../../config/recipes.ts'
import { initialWeights } from '../../models/initial-weights.ts'
import type { Model } from '../../models/model.ts'
import { poolerOf, requirePooler, topLayers } from '../../models/reinit.ts'
import { LowrankError } from '../../support/errors.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { decayRule } from '../../train/decay-kinds.ts'
import { layerDecayRule } from '../../train/layer-depth.ts'
import { type Mixout, mixoutOf } from '../../train/mixout.ts'
import type { GroupRule } from '../../train/parameter-groups.ts'
import type { TrainOptions, TrainSettings } from './settings.ts'

/** How tensors are grouped, beside what a method says of them: factors multiply, and what one spares of decay stays spared. */
export function groupRuleOf(settings: TrainSettings, model: Model, own: Partial<GroupRule> = {}): Partial<GroupRule> {
  const { layerDecay, priorDecay, weightDecay, noDecay = [] } = settings
  const byLayer = layerDecay === 1 ? undefined : layerDecayRule(model, layerDecay)
  const byKind = decayRule(model.modules, noDecay)
  return {
    ...own,
    rateFactor: (tensor) => (own.rateFactor?.(tensor) ?? 1) * (byLayer?.rateFactor(tensor) ?? 1),
    // Without a decay all tensors are alike, and fewer groups are fewer ops.
    decays: (tensor) => (own.decays?.(tensor) ?? true) && (weightDecay === 0 || byKind.decays(tensor)),
    // What an adapter adds has no pretrained value.
    pulls: (tensor) => priorDecay > 0 && tensor.role !== 'own' && byKind.decays(tensor),
  }
}

/** Mixout of a model whose weights are all trained. */
export function mixoutSettings({ mixout: rate, mixoutMask: mask }: TrainSettings, model: Model): Mixout | undefined {
  return rate === 0 ? undefined : mixoutOf(model.modules, { rate, mask })
}

/** Whether a step looks at first values. */
export function looksBack({ mixout, priorDecay }: TrainSettings): boolean {
  return mixout > 0 || priorDecay > 0
}

export interface Redrawn {
  /** By the model's names. */
  readonly values: ReadonlyMap<string, HostTensor>
  readonly notes: readonly string[]
}

/**
 * Tensors that are drawn anew, by the seed of new weights.
 * @throws LowrankError `config` for more layers than there are, `unsupported` for a pooler that is asked for and not there
 */
export function redrawn(settings: TrainSettings, model: Model): Redrawn {
  const { reinitLayers, reinitPooler, recipe } = settings
  const layers = topLayers(model, reinitLayers)
  const pooler = reinitPooler ? (recipe === undefined ? requirePooler(model) : poolerOf(model)) : []
  const said = [
    ...(reinitLayers > 0 ? [reinitLayers === 1 ? 'the top layer' : `the top ${reinitLayers} layers`] : []),
    ...(pooler.length > 0 ? [`the pooler (${pooler.map(({ path }) => path).join(', ')})`] : []),
  ]
  return {
    values: initialWeights(model, settings.initSeed ?? settings.seed, [...layers, ...pooler]),
    notes: said.length > 0 ? [`drawn anew before training: ${said.join(' and ')}`] : [],
  }
}

/** @throws LowrankError `config` for a recipe on a model that it has not been found for */
export function refuseRecipe({ recipe }: TrainSettings, { spec }: Model): void {
  if (recipe === undefined || (spec.task !== 'causal-lm' && spec.task !== 'masked-lm')) return
  const message = `--recipe ${recipe} is for encoders that tell labels apart, and this is a language model`
  throw new LowrankError('config', message, { field: 'recipe', suggestion: 'leave it out' })
}

/** What a run's recipe has set, to be said aloud. @param given what somebody gave; @param evaluates there are rows for it */
export function recipeNotes(given: TrainOptions, settings: TrainSettings, evaluates: boolean): string[] {
  const all = settings as Readonly<Record<string, unknown>>
  const set = Object.entries(recipeValues(given)).filter(([name, value]) => String(all[name]) === String(value))
  if (given.recipe === undefined || set.length === 0) return []
  const words = set.map(([name, value]) => `${kebab(name)} ${Array.isArray(value) ? value.join(',') : value}`)
  return [
    `recipe ${given.recipe} sets ${words.join(', ')}`,
    ...(evaluates || !settings.keepBest
      ? []
      : ['there are no rows to evaluate on (--eval-data, --eval-split), so the last weights are the result']),
  ]
}
