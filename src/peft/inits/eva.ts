/**
 * @file EVA (arXiv 2410.07170): A from the principal components of a layer's inputs, ranks moved to where they explain
 * most. Here what follows from the components; train/input-components.ts finds them.
 * Must not know graphs, engines or rows.
 */
import type { EvaConfig } from '../../formats/lora-init.ts'
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import type { IncrementalPca } from '../../linalg/incremental-pca.ts'
import { row } from '../../linalg/matrix.ts'
import { f32, zeros } from '../../tensor/host-tensor.ts'
import type { AdapterSite } from '../method.ts'
import type { FirstFactors } from './plain-lora.ts'
import type { Factors } from './split-weight.ts'

/** Components of one input, and the sites that share it, in the order of the model. */
export interface InputComponents {
  readonly sites: readonly AdapterSite[]
  readonly pca: IncrementalPca
  /** Components looked at: the largest rank · rho among the sites. */
  readonly most: number
}

/** The rank of each site, by path: the sum of all ranks goes to the components that explain most of their input. */
export function distributeRanks(inputs: readonly InputComponents[]): Map<string, number> {
  const budget = inputs.flatMap(({ sites }) => sites).reduce((sum, { r }) => sum + r, 0)
  const offers = inputs.flatMap(({ sites, pca, most }) =>
    sites.flatMap(({ path }) => Array.from(pca.explained.slice(0, most), (explained) => ({ path, explained }))),
  )
  offers.sort((a, b) => b.explained - a.explained)
  const ranks = new Map(inputs.flatMap(({ sites }) => sites.map(({ path }) => [path, 0] as [string, number])))
  for (const { path } of offers.slice(0, budget)) ranks.set(path, (ranks.get(path) ?? 0) + 1)
  return ranks
}

/** A from the first components, B zero; whitened by the root of their values where asked. */
export function evaFactors(
  inputs: readonly InputComponents[],
  ranks: ReadonlyMap<string, number>,
  whiten: boolean,
): FirstFactors {
  const out = new Map<string, Factors>()
  for (const { sites, pca } of inputs)
    for (const { path, inFeatures, outFeatures } of sites) {
      const r = ranks.get(path) ?? 0
      if (!pca.components || r === 0) continue
      const a = new Float64Array(r * inFeatures)
      for (let i = 0; i < r; i++) {
        const size = whiten ? Math.sqrt(pca.singularValues[i] ?? 1) : 1
        const component = row(pca.components, i).map((value) => value / size)
        a.set(component, i * inFeatures)
      }
      out.set(path, { a: f32([r, inFeatures], a), b: zeros('f32', [outFeatures, r]) })
    }
  return out
}

/**
 * The config that says what EVA chose: the modules left, their ranks, and alphas that keep each scale.
 * @param ranks of the sites EVA looked at; others keep theirs
 */
export function evaConfigOf(
  config: PeftLoraConfig,
  sites: readonly AdapterSite[],
  ranks: ReadonlyMap<string, number>,
  settings: EvaConfig,
): PeftLoraConfig {
  const kept = sites.filter(({ path, r }) => (ranks.get(path) ?? r) > 0)
  const rank_pattern: Record<string, number> = {}
  const alpha_pattern: Record<string, number> = {}
  for (const { path, r, scale } of kept) {
    const rank = ranks.get(path) ?? r
    const alpha = scale * (config.use_rslora ? Math.sqrt(r) : r)
    const adjusted = settings.adjust_scaling_factors ? (alpha * rank) / r : alpha
    if (rank !== config.r) rank_pattern[path] = rank
    if (Math.abs(adjusted - config.lora_alpha) > 1e-9 * config.lora_alpha) alpha_pattern[path] = adjusted
  }
  return {
    ...config,
    eva_config: settings, // PEFT warns where it is missing
    target_modules: kept.map(({ path }) => path),
    exclude_modules: null,
    layers_to_transform: null,
    layers_pattern: null,
    rank_pattern,
    alpha_pattern,
  }
}
