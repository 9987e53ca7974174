/**
 * @file LoRA on a parameter instead of a module (`target_parameters`; PEFT's ParamWrapper, peft/tuners/lora/layer.py
 * 0.21): W + s·B·A in the parameter's own layout, A f32[r, columns] and B f32[rows, r], whatever the module does with W.
 * Must not know which parameters were chosen, files or training.
 */
import type { Node } from '../../graph/types.ts'
import { LowrankError } from '../../support/errors.ts'
import { transpose } from '../low-rank-update.ts'
import type { AdapterSite, Application, Method, SitePlan } from '../method.ts'
import { siteScale } from '../patterns.ts'
import { scaleOf } from './lora-graph.ts'
import { initSite } from './lora-start.ts'
import { rankNotes } from './rank-notes.ts'

export const loraParameter: Method = {
  type: 'LORA',
  weighsRows: true,
  plan(module, options, loaded): SitePlan {
    const init = options.init_lora_weights ?? true
    if (typeof init === 'string' && init !== 'gaussian')
      throw new LowrankError('config', `target_parameters: an update starts true, false or gaussian, not ${init}`, {
        field: 'init_lora_weights',
      })
    // A pattern speaks of the parameter's name here, not of its module's.
    const size = siteScale(options, `${module.path}.weight`)
    const { inFeatures: columns, outFeatures: rows } = asMatrix(module)
    return {
      size,
      tensors: {
        a: { key: 'lora_A.weight', role: 'lora_A', shape: [size.r, columns] },
        b: { key: 'lora_B.weight', role: 'lora_B', shape: [rows, size.r] },
      },
      notes: rankNotes(module, size, options, loaded),
    }
  },
  start: async (site, options) => initSite(asMatrix(site), options),
  apply: (io, y) => io.g.add(y, update(io)),
  update({ scale, kind, path }, value) {
    const [a, b] = [value('a'), value('b')]
    if (kind === 'linear') return { a, b, scale }
    return { a: transpose(b, path), b: transpose(a, path), scale }
  },
}

/** The module as if it were a linear layer with its weight as it is stored. */
function asMatrix<T extends Pick<AdapterSite, 'kind' | 'inFeatures' | 'outFeatures'>>(site: T): T {
  if (site.kind === 'linear') return site
  return { ...site, kind: 'linear', inFeatures: site.outFeatures, outFeatures: site.inFeatures }
}

/** What s·B·A adds to the layer's output. */
function update(io: Application): Node {
  const { g, site, x } = io
  const [a, b] = [io.parameter('a'), io.parameter('b')]
  if (site.kind === 'linear') return g.lowRank(x, a, b, scaleOf(io, x.type.shape.length))
  const inner = site.kind === 'embedding' ? g.gather(b, x) : g.matmul(x, b)
  return g.matmul(g.mul(inner, scaleOf(io, inner.type.shape.length)), a)
}
