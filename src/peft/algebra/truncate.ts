/**
 * @file An adapter of smaller rank: the best approximation of every update. Must not know files, or the base's weights.
 */
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import { balanced, type Cut, cutSvd, svdOfProduct } from '../../linalg/low-rank.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { freshFields, type NewUpdate, rankFields, scaled, tensorsOf, type Updates } from './updates.ts'

export interface TruncatedModule {
  readonly path: string
  readonly from: number
  readonly rank: number
  /** Share of ‖ΔW‖² that is kept. */
  readonly energy: number
  /** ‖ΔW − kept‖ / ‖ΔW‖ */
  readonly error: number
}

export interface TruncatedAdapter {
  readonly config: PeftLoraConfig
  readonly tensors: Map<string, HostTensor>
  readonly modules: readonly TruncatedModule[]
}

/** Cuts every update to a rank, or to the smallest rank with a share of its energy. What stands beside stays. */
export function truncateAdapter(
  updates: Updates,
  cut: Cut,
  onModule: (done: number, total: number) => void = () => {},
): TruncatedAdapter {
  const { sites, rest, config } = updates
  const made: NewUpdate[] = []
  const modules: TruncatedModule[] = []
  for (const update of sites.values()) {
    onModule(made.length, sites.size)
    const { path, embedding, scale, bBias } = update
    const { kept, rank, energy } = cutSvd(svdOfProduct(scaled(update)), cut)
    const bias = bBias?.map((value) => scale * value)
    made.push({ path, embedding, ...balanced(kept), ...(bias ? { bBias: bias } : {}) })
    modules.push({ path, from: update.a.rows, rank, energy, error: Math.sqrt(Math.max(0, 1 - energy)) })
  }
  onModule(made.length, sites.size)
  return {
    config: { ...config, ...freshFields([updates]), ...rankFields(made) },
    tensors: tensorsOf(made, rest),
    modules,
  }
}
