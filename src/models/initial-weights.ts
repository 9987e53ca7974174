/** @file Weights of a new model, as transformers' `_init_weights` draws them. Must not know training. */
import { RandomStream } from '../support/random.ts'
import { type HostTensor, sizeOf } from '../tensor/host-tensor.ts'
import type { Model } from './model.ts'
import type { ModuleInfo } from './modules.ts'

/** Matrices normal with the config's deviation, norms one (or what stands for it), biases zero; each tensor from its own stream; of all modules, or of some. */
export function initialWeights(
  model: Model,
  seed: number,
  modules: readonly ModuleInfo[] = model.modules,
): Map<string, HostTensor> {
  const values = new Map<string, HostTensor>()
  for (const { path, kind, parameters, tiedTo, freshWeight = 1 } of modules) {
    for (const { name, shape } of parameters) {
      if (tiedTo !== undefined && name === 'weight') continue
      const id = `${path}.${name}`
      const data = new Float32Array(sizeOf(shape))
      if (kind === 'norm' && name === 'weight') data.fill(freshWeight)
      else if (name === 'weight') {
        const random = new RandomStream(seed, `init/${id}`)
        const deviation = model.initialDeviation(id)
        for (let i = 0; i < data.length; i++) data[i] = deviation * random.normal()
      }
      values.set(id, { dtype: 'f32', shape, data })
    }
  }
  return values
}
