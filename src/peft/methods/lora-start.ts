/**
 * @file Values LoRA starts from, by distribution as PEFT draws them (`reset_lora_parameters` of
 * peft/tuners/lora/layer.py). Each tensor has its own random stream, named by module and tensor, so that neither the
 * order of modules nor the choice of targets changes what a module draws.
 * Must not know graphs, engines or files.
 */
import { RandomStream } from '../../support/random.ts'
import { type HostTensor, type TypedTensor, tensor, zeros } from '../../tensor/host-tensor.ts'
import { orthogonalFactors } from '../inits/orthogonal.ts'
import { asF32, outputNorms, rowFactors } from '../low-rank-update.ts'
import type { AdapterSite, InitOptions, ReadBase, SiteValues } from '../method.ts'

/** Every tensor of a site; only DoRA's magnitude reads the base. */
export async function startLora(site: AdapterSite, options: InitOptions, base: ReadBase): Promise<SiteValues> {
  const values = initSite(site, options)
  if (!site.ids.magnitude) return values
  const weight = await base(`${site.tiedTo ?? site.path}.weight`)
  return { ...values, magnitude: doraMagnitude(site, weight, values.a, values.b) }
}

/**
 * A, B and the bias on B of one site.
 * - `true`: A ~ U(±1/√in), B = 0 (kaiming with a = √5). `gaussian`: A ~ N(0, 1/r²), B = 0. `false`: B ~ U(±1/√r) too.
 * - Embedding: A = 0, B ~ N(0, 1); with `false` both N(0, 1).
 * - `orthogonal`: see peft/inits/orthogonal.ts. Other names: what was found beforehand, else as `true`.
 */
export function initSite(
  site: AdapterSite,
  { seed, init, given }: InitOptions,
): { a: TypedTensor<'f32'>; b: TypedTensor<'f32'>; bBias?: TypedTensor<'f32'> } {
  const { r, inFeatures, outFeatures, path, ids } = site
  const draw = (name: string, shape: readonly number[], next: (random: RandomStream) => number): TypedTensor<'f32'> => {
    const random = new RandomStream(seed, `init/${path}/${ids[name]?.slice(path.length + 1)}`)
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
      a: init === false ? draw('a', aShape, normal(1)) : zeros('f32', aShape),
      b: draw('b', bShape, normal(1)),
    }
  const bBias = ids.bBias
    ? { bBias: init === false ? draw('bBias', [outFeatures], uniform(r)) : zeros('f32', [outFeatures]) }
    : {}
  const found = given?.get(path) ?? (init === 'orthogonal' ? orthogonalFactors(site, seed) : undefined)
  if (found) return { ...found, ...bBias }
  return {
    a: draw('a', aShape, init === 'gaussian' ? normal(1 / r) : uniform(inFeatures)),
    b: init === false ? draw('b', bShape, uniform(r)) : zeros('f32', bShape),
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
