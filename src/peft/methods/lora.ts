/**
 * @file LoRA (arXiv 2106.09685) as a method: its tensors at a module under PEFT's keys, how it starts, what it computes,
 * what merging adds. Must not know which modules were chosen, files or training.
 */
import type { SiteModule } from '../../models/modules.ts'
import { LowrankError } from '../../support/errors.ts'
import { checkStartRank } from '../inits/check-rank.ts'
import type { LayoutOptions, Method, SiteTensor } from '../method.ts'
import { type SiteScale, siteScale } from '../patterns.ts'
import { applyLora } from './lora-graph.ts'
import { startLora } from './lora-start.ts'
import { rankNotes } from './rank-notes.ts'

export const lora: Method = {
  type: 'LORA',
  weighsRows: true,
  plan(module, options, loaded) {
    checkLoraBias(module, options)
    const size = siteScale(options, module.path)
    if (!loaded) checkStartRank({ ...module, r: size.r }, options.init_lora_weights ?? true)
    return { size, tensors: loraTensors(module, size, options), notes: rankNotes(module, size, options, loaded) }
  },
  start: startLora,
  apply: applyLora,
  update: ({ scale, ids }, value) => ({
    a: value('a'),
    b: value('b'),
    scale,
    ...(ids.bBias ? { bBias: value('bBias') } : {}),
    ...(ids.magnitude ? { magnitude: value('magnitude') } : {}),
  }),
}

function loraTensors(module: SiteModule, { r }: SiteScale, options: LayoutOptions): Record<string, SiteTensor> {
  const { kind, inFeatures, outFeatures } = module
  const [a, b] =
    kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : (['lora_A.weight', 'lora_B.weight'] as const)
  return {
    a: { key: a, role: 'lora_A', shape: [r, inFeatures] },
    b: { key: b, role: 'lora_B', shape: [outFeatures, r] },
    ...(options.lora_bias ? { bBias: { key: 'lora_B.bias', role: 'lora_bias', shape: [outFeatures] } } : {}),
    ...(options.use_dora
      ? { magnitude: { key: 'lora_magnitude_vector', role: 'magnitude', shape: [outFeatures] } }
      : {}),
  }
}

function checkLoraBias({ kind, path }: SiteModule, options: LayoutOptions): void {
  if (!options.lora_bias) return
  const refuse = (why: string): never => {
    throw new LowrankError('config', `lora_bias: ${why}`, { field: 'lora_bias' })
  }
  const init = options.init_lora_weights ?? true
  if (options.use_dora) refuse('cannot be combined with use_dora')
  if (typeof init === 'string') refuse(`cannot be combined with init_lora_weights ${JSON.stringify(init)}`)
  if (kind === 'embedding') refuse(`is not possible on an embedding, which ${path} is`)
}
