/**
 * @file Values an adapter starts from, by distribution as PEFT draws them (`reset_lora_parameters` of
 * peft/tuners/lora/layer.py). Each tensor has its own random stream, named by module and tensor, so that neither the
 * order of modules nor the choice of targets changes what a module draws.
 * Must not know graphs, engines or files.
 */
import { RandomStream } from '../support/random.ts'
import { type HostTensor, type TypedTensor, tensor, zeros } from '../tensor/host-tensor.ts'
import type { AdapterLayout, AdapterSite } from './layout.ts'
import { asF32, outputNorms, rowFactors } from './low-rank-update.ts'

export interface InitOptions {
  readonly seed: number
  /** `init_lora_weights` of the config. */
  readonly init: boolean | 'gaussian'
}

/** A base tensor by the name it has in the base's file. */
export type ReadBase = (source: string) => HostTensor | Promise<HostTensor>

/**
 * Every trained tensor of a layout at its first value, by id, all f32. Reads only the base tensors it needs: DoRA's
 * weights, trained biases, whole modules and token rows.
 */
export async function initAdapter(
  layout: AdapterLayout,
  options: InitOptions,
  base: ReadBase,
): Promise<Map<string, TypedTensor<'f32'>>> {
  const values = new Map<string, TypedTensor<'f32'>>()
  for (const site of layout.sites) {
    const { a, b, bBias } = initSite(site, options)
    values.set(site.a, a)
    values.set(site.b, b)
    if (site.bBias && bBias) values.set(site.bBias, bBias)
    if (site.magnitude) {
      const weight = await base(`${site.tiedTo ?? site.path}.weight`)
      values.set(site.magnitude, doraMagnitude(site, weight, a, b))
    }
  }
  const rows = new Map(layout.tokens.map((token) => [token.id, token.indices]))
  for (const { id, role, source, trained, sameAs, shape } of layout.tensors) {
    if (!trained || sameAs || source === undefined) continue
    const whole = asF32(await base(source), source)
    const indices = role === 'tokens' ? rows.get(id) : undefined
    values.set(id, tensor('f32', shape, indices ? takeRows(whole, indices, shape[1] ?? 0) : whole.slice()))
  }
  return values
}

/**
 * A, B and the bias on B of one site.
 * - `true`: A ~ U(±1/√in), B = 0 (kaiming with a = √5). `gaussian`: A ~ N(0, 1/r²), B = 0. `false`: B ~ U(±1/√r) too.
 * - Embedding: A = 0, B ~ N(0, 1); with `false` both N(0, 1).
 */
export function initSite(
  site: AdapterSite,
  { seed, init }: InitOptions,
): { a: TypedTensor<'f32'>; b: TypedTensor<'f32'>; bBias?: TypedTensor<'f32'> } {
  const { r, inFeatures, outFeatures, path } = site
  const draw = (id: string, shape: readonly number[], next: (random: RandomStream) => number): TypedTensor<'f32'> => {
    const random = new RandomStream(seed, `init/${path}/${id.slice(path.length + 1)}`)
    const out = zeros('f32', shape)
    for (let i = 0; i < out.data.length; i++) out.data[i] = next(random)
    return out
  }
  const normal = (std: number) => (random: RandomStream) => std * random.normal()
  const uniform = (fanIn: number) => (random: RandomStream) => (2 * random.uniform() - 1) / Math.sqrt(fanIn)
  const [aShape, bShape] = [
    [r, inFeatures],
    [outFeatures, r],
  ] as const
  if (site.kind === 'embedding')
    return {
      a: init === false ? draw(site.a, aShape, normal(1)) : zeros('f32', aShape),
      b: draw(site.b, bShape, normal(1)),
    }
  const bBias = site.bBias
    ? { bBias: init === false ? draw(site.bBias, [outFeatures], uniform(r)) : zeros('f32', [outFeatures]) }
    : {}
  return {
    a: draw(site.a, aShape, init === 'gaussian' ? normal(1 / r) : uniform(inFeatures)),
    b: init === false ? draw(site.b, bShape, uniform(r)) : zeros('f32', bShape),
    ...bBias,
  }
}

/**
 * DoRA's magnitude at the start: ‖W + s·B·A‖ of each output (arXiv 2402.09353, eq. 2).
 * @param weight as stored
 * @returns f32[out]
 */
export function doraMagnitude(
  site: AdapterSite,
  weight: HostTensor,
  a: TypedTensor<'f32'>,
  b: TypedTensor<'f32'>,
): TypedTensor<'f32'> {
  const name = `${site.path}.weight`
  const transposed = site.kind !== 'linear'
  const norms = outputNorms(transposed, asF32(weight, name), rowFactors(transposed, a, b, name), site.scale)
  return tensor('f32', [site.outFeatures], norms)
}

function takeRows(values: Float32Array, indices: readonly number[], width: number): Float32Array {
  const out = new Float32Array(indices.length * width)
  for (const [i, index] of indices.entries()) out.set(values.subarray(index * width, (index + 1) * width), i * width)
  return out
}
