/** @file What is said of a rank: how it sits beside the matrix it changes. Must not know tensors. */
import type { SiteModule } from '../../models/modules.ts'
import { LowrankError } from '../../support/errors.ts'
import type { LayoutOptions } from '../method.ts'
import type { SiteScale } from '../patterns.ts'

/** A rank above the smaller side only wastes room; above the larger side it cannot be meant. */
export function rankNotes(
  { path, inFeatures, outFeatures }: SiteModule,
  { r }: SiteScale,
  options: LayoutOptions,
  loaded: boolean,
): string[] {
  if (!Number.isInteger(r) || r <= 0)
    throw new LowrankError('config', `r: the rank at ${path} is ${r}; it must be a whole number above 0`, {
      field: r === options.r ? 'r' : 'rank_pattern',
    })
  const size = `${path} is ${outFeatures} by ${inFeatures}`
  if (r > Math.max(inFeatures, outFeatures) && !loaded)
    throw new LowrankError('config', `r: rank ${r} is above the larger side of the matrix: ${size}`, { field: 'r' })
  return r > Math.min(inFeatures, outFeatures) ? [`r: rank ${r} is above the smaller side of the matrix: ${size}`] : []
}
