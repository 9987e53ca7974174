/** @file Ranks that a start can have at a module. Must not know tensors. */
import { changesBase } from '../../formats/lora-init.ts'
import { LowrankError } from '../../support/errors.ts'
import type { AdapterSite } from '../method.ts'

/** Embeddings start as ever, whatever the name. */
type Site = Pick<AdapterSite, 'path' | 'kind' | 'r' | 'inFeatures' | 'outFeatures'>

/**
 * @param init `init_lora_weights`
 * @throws LowrankError `config`: an odd rank with `orthogonal`; one above the smaller side where the start is taken out of
 * the weight
 */
export function checkStartRank({ path, kind, r, inFeatures, outFeatures }: Site, init: boolean | string): void {
  if (kind === 'embedding') return
  const fail = (problem: string): never => {
    throw new LowrankError('config', `init_lora_weights ${init}${problem}`, { field: 'r' })
  }
  if (init === 'orthogonal' && r % 2 !== 0) fail(` needs an even rank; at ${path} it is ${r}`)
  if (changesBase(init) && r > Math.min(inFeatures, outFeatures))
    fail(`: rank ${r} is above the smaller side of ${path}.weight, which is ${outFeatures} by ${inFeatures}`)
}
