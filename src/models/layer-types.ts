/**
 * @file Which layers see everything before them and which only a window, as configs spell it (`layer_types`).
 * Must not know any family.
 */
import type { HfConfig } from '../formats/hf-config.ts'

export type LayerType = 'full_attention' | 'sliding_attention'

/**
 * The type of each of `layers` layers.
 * @param otherwise what a file without `layer_types` means
 * @throws LowrankError 'config' for another number of layers or another type
 */
export function layerTypes(raw: HfConfig, layers: number, otherwise: (layer: number) => LayerType): LayerType[] {
  const given = raw.strings('layer_types', { default: undefined })
  if (!given) return Array.from({ length: layers }, (_, layer) => otherwise(layer))
  const types = given.filter((type) => type === 'full_attention' || type === 'sliding_attention')
  if (types.length !== layers || given.length !== layers)
    throw raw.fault('layer_types', `must name full_attention or sliding_attention for each of ${layers} layers`)
  return types
}
